/**
 * Ends the jobs of an agent that was killed.
 *
 * One small shell waits on a pipe from the agent. However the agent ends, the kernel closes the pipe; the
 * shell then ends every process that carries the run's mark or is in a folder of the agent's jobs. It costs nothing per job, has a session of its
 * own so that no signal to the agent's or a job's group reaches it, and is not marked itself.
 */
import { existsSync } from "node:fs";
import { RUN_MARKER } from "./identity.ts";

/** `$1` is the marked variable, `$2` the grace in tenths of a second, `$3` the folder of the jobs' folders. */
const SCRIPT = `
while read -r line; do [ "$line" = dismissed ] && exit 0; done
marked() {
  grep -a -l -F -- "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
  ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -F -- " -> $2/" | sed 's|.* /proc/\\([0-9]*\\)/cwd -> .*|\\1|'
}
pids=$(marked "$1" "$3")
[ -n "$pids" ] && kill -TERM $pids 2>/dev/null
tenths=0
while [ -n "$pids" ] && [ "$tenths" -lt "$2" ]; do
  sleep 0.1; tenths=$((tenths + 1)); pids=$(marked "$1" "$3")
done
rounds=0
while [ -n "$pids" ] && [ "$rounds" -lt 50 ]; do
  kill -KILL $pids 2>/dev/null
  sleep 0.05; rounds=$((rounds + 1)); pids=$(marked "$1" "$3")
done
`;

export interface Watchdog {
  /** Process id; null where the system has no `/proc`. */
  readonly pid: number | null;
  /** Tells it that the agent ends in good order and has no jobs left. */
  dismiss(): Promise<void>;
}

/** Starts the watchdog of this run. */
export function startWatchdog(mark: string, graceMs: number, workRoot: string): Watchdog {
  if (!existsSync("/proc/self/environ")) return { pid: null, dismiss: async () => {} };
  const tenths = String(Math.ceil(graceMs / 100));
  const shell = Bun.spawn(
    ["/bin/sh", "-c", SCRIPT, "yardmaster-watchdog", `${RUN_MARKER}=${mark}`, tenths, workRoot],
    {
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
      detached: true,
      cwd: "/",
      env: { PATH: "/usr/local/bin:/usr/bin:/bin" },
    },
  );
  // It must not keep the agent's own event loop alive.
  shell.unref();
  return {
    pid: shell.pid,
    async dismiss() {
      try {
        shell.stdin.write("dismissed\n");
        await shell.stdin.end();
      } catch {
        // It is gone: nothing to dismiss.
      }
      await Promise.race([shell.exited, Bun.sleep(1_000)]);
    },
  };
}
