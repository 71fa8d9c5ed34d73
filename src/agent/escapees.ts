/**
 * Ends processes that outlive their job outside its group: daemons. They are found by the run's mark and the
 * job's id in their environment. Looking through all processes costs milliseconds, so it is done once for
 * all jobs that ended meanwhile, not at each end.
 */
import type { AgentLog } from "./agentLog.ts";
import { markedProcesses, processesIn } from "./leftovers.ts";
import type { Workspaces } from "./workspaces.ts";

const SWEEP_AFTER_MS = 5_000;
const JOB_ID = "YARDMASTER_JOB_ID=";

export class Escapees {
  readonly #mark: string;
  readonly #isRunning: (jobId: number) => boolean;
  readonly #workspaces: Workspaces;
  readonly #log: AgentLog;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(mark: string, isRunning: (jobId: number) => boolean, workspaces: Workspaces, log: AgentLog) {
    this.#workspaces = workspaces;
    this.#mark = mark;
    this.#isRunning = isRunning;
    this.#log = log;
  }

  /** A job has ended: look for what it left, before long. */
  jobEnded(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#sweep();
    }, SWEEP_AFTER_MS);
  }

  /** Looks a last time. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#sweep();
  }

  #sweep(): void {
    const left = markedProcesses(this.#mark, (environment) => {
      const id = environment.find((entry) => entry.startsWith(JOB_ID))?.slice(JOB_ID.length);
      return id !== undefined && !this.#isRunning(Number(id));
    });
    // Those of jobs that have their environment to themselves.
    const strayed = processesIn(this.#workspaces.root, (name) => !this.#workspaces.isTaken(name));
    left.push(...strayed.filter((pid) => !left.includes(pid)));
    for (const pid of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone already.
      }
    }
    if (left.length > 0)
      this.#log.info("ended processes that outlived their jobs", { processes: left.length });
  }
}
