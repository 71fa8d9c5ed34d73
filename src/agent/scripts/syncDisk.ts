/** Waits until what was written to a file system is on its disk. */
import type { AgentLog } from "../agentLog.ts";

/**
 * Waits for the file system of `folder`. By a program, for the call itself takes seconds where much was written, and an
 * agent that waits for it keeps no lease meanwhile.
 *
 * @throws the signal's reason when it is aborted
 */
export async function syncDisk(folder: string, signal: AbortSignal, log: AgentLog): Promise<void> {
  // Not every system's `sync` knows of single file systems.
  for (const argv of [["sync", "-f", folder], ["sync"]]) {
    if (await hasEndedWell(argv, signal)) return;
  }
  log.warn("cannot wait for the disk: a power cut may leave files of environments empty", { folder });
}

async function hasEndedWell(argv: string[], signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn(argv, { stdio: ["ignore", "ignore", "ignore"], signal, killSignal: "SIGKILL" });
  } catch {
    return false;
  }
  const exitCode = await child.exited;
  signal.throwIfAborted();
  return exitCode === 0;
}
