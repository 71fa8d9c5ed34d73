/** Who this agent is: its worker id, kept over restarts, and the mark of this run. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Environment variable by which every process of a run is found again. */
export const RUN_MARKER = "YARDMASTER_AGENT_RUN";

/** The id given, else the one kept in the state directory, else a fresh one that is kept there. */
export function workerIdentity(stateDir: string, given: string | undefined): string {
  if (given !== undefined) return given;
  const path = join(stateDir, "worker-id");
  const kept = readIfPresent(path);
  if (kept !== null) return kept;
  const fresh = `worker-${crypto.randomUUID()}`;
  writeFileSync(path, `${fresh}\n`);
  return fresh;
}

/** The mark of the run before this one, if there was one; from now on the file holds `fresh`. */
export function exchangeRunMark(stateDir: string, fresh: string): string | null {
  const path = join(stateDir, "run");
  const previous = readIfPresent(path);
  writeFileSync(path, `${fresh}\n`);
  return previous;
}

function readIfPresent(path: string): string | null {
  if (!existsSync(path)) return null;
  const text = readFileSync(path, "utf8").trim();
  return text === "" ? null : text;
}
