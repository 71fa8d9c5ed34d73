/**
 * One process with its group: started, its output read, ended when it must be.
 *
 * Output is not read from the first moment on: most short jobs end within a few milliseconds, and reading
 * two pipes that stay empty costs more than the rest of a start (2,500 starts a second with readers from the
 * beginning, 3,400 with readers from the end). A pipe holds 64 KiB meanwhile, and a process that fills it waits.
 */
import { constants } from "node:os";
import type { LogStream } from "../domain/job.ts";
import type { Confinement } from "./isolation/confinement.ts";
import type { MachineBusyError } from "./machineFault.ts";
import type { JobFault } from "./runner.ts";
import { spawnFault } from "./spawnFault.ts";

/** A process that still runs after this long has its output read as it appears. */
const READ_AFTER_MS = 10;

/** Why the agent ended a process. */
export type EndReason =
  | "timeLimit"
  | "cpuLimit"
  | "workspaceLimit"
  | "cancelled"
  | "leaseLost"
  | "agentStopped";

/** How a process ended. */
export interface ProcessEnd {
  /** 128 + n for signal n, as shells have it. */
  readonly exitCode: number;
  /** Name of the signal that ended it. */
  readonly signal: string | null;
  /** Why the agent ended it; null when it ended by itself. */
  readonly reason: EndReason | null;
  /** What the job's confinement says of its end, such as a limit that it reached. */
  readonly error: string | null;
}

export interface SupervisedProcessOptions {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly timeoutMs: number | null;
  readonly graceMs: number;
  readonly outputDrainMs: number;
  /** What `argv` is confined by; null when it is the job's own program. */
  readonly confinement: Confinement | null;
  readonly onOutput: (stream: LogStream, bytes: Uint8Array) => void;
  /** The process is gone; its output may still be read. */
  readonly onExit: () => void;
  /** The process is gone and its output read. Called once. */
  readonly onEnd: (end: ProcessEnd) => void;
}

/** Longest delay a timer can have; a longer limit is set again when it passes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class SupervisedProcess {
  readonly pid: number;
  readonly #options: SupervisedProcessOptions;
  readonly #process: Bun.Subprocess<Bun.SpawnOptions.Writable, "pipe", "pipe">;
  readonly #readTimer: ReturnType<typeof setTimeout>;
  readonly #readers: ReadableStreamDefaultReader<Uint8Array>[] = [];
  #limitTimer: ReturnType<typeof setTimeout> | undefined;
  #killTimer: ReturnType<typeof setTimeout> | undefined;
  #drainTimer: ReturnType<typeof setTimeout> | undefined;
  #reason: EndReason | null = null;
  /** Set at exit. */
  #exit: Omit<ProcessEnd, "reason"> | null = null;
  #openStreams = 0;
  #isReading = false;
  #isEnded = false;

  /**
   * Starts the process.
   *
   * @throws JobFault when the program cannot be started, MachineBusyError when the machine is short of something.
   */
  constructor(options: SupervisedProcessOptions) {
    this.#options = options;
    const { confinement } = options;
    try {
      this.#process = Bun.spawn([...options.argv], {
        env: options.env,
        cwd: options.cwd,
        stdio: [confinement?.input ?? "ignore", "pipe", "pipe", ...(confinement?.descriptors ?? [])],
        // Its own session, so that one signal reaches the whole group and none of the agent's reaches it.
        detached: true,
        lazy: true,
        onExit: (_process, exitCode, signal) => this.#onExit(exitCode, signal),
      });
    } catch (error) {
      const fault: JobFault | MachineBusyError = spawnFault(error, options.argv[0] ?? "", options.cwd);
      throw fault;
    }
    this.pid = this.#process.pid;
    confinement?.onLimit((reason) => this.end(reason));
    this.#readTimer = setTimeout(() => this.#read(), READ_AFTER_MS);
    if (options.timeoutMs !== null) this.#limit(performance.now() + options.timeoutMs);
  }

  /** CPU time of the process and all that it started: by its control group, or by the system once it has ended. */
  get cpuMs(): number | null {
    const { confinement } = this.#options;
    const counted = confinement?.cpuMs ?? null;
    if (counted !== null || this.#exit === null || confinement?.isSandboxed === true) return counted;
    const used = this.#process.resourceUsage()?.cpuTime.total;
    return used === undefined ? null : Number(used) / 1e3;
  }

  /** Ends the group: SIGTERM, the grace, SIGKILL. The first reason given stands. */
  end(reason: EndReason): void {
    if (this.#exit !== null || this.#reason !== null) return;
    this.#reason = reason;
    if (reason === "workspaceLimit") {
      // In its grace it would go on filling the disk.
      this.#signalGroup("SIGKILL");
      return;
    }
    if (this.#options.confinement?.askToEnd(this.pid) !== true) this.#signalGroup("SIGTERM");
    this.#killTimer = setTimeout(() => this.#signalGroup("SIGKILL"), this.#options.graceMs);
  }

  #limit(deadline: number): void {
    const leftMs = deadline - performance.now();
    this.#limitTimer = setTimeout(
      () => (performance.now() >= deadline ? this.end("timeLimit") : this.#limit(deadline)),
      Math.max(0, Math.min(leftMs, MAX_TIMER_MS)),
    );
  }

  #onExit(exitCode: number | null, signal: number | string | null): void {
    clearTimeout(this.#readTimer);
    clearTimeout(this.#limitTimer);
    clearTimeout(this.#killTimer);
    // Whatever the process left running in its group goes with it.
    this.#signalGroup("SIGKILL");
    const exit = exitOf(exitCode, signal);
    this.#exit = this.#options.confinement?.ended(exit) ?? { ...exit, error: null };
    this.#options.onExit();
    this.#read();
    // A process that left the group may hold the pipes open for ever.
    if (this.#openStreams > 0) {
      this.#drainTimer = setTimeout(() => this.#abandonOutput(), this.#options.outputDrainMs);
    } else this.#finish();
  }

  #read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#openStreams = 2;
    this.#pump(this.#process.stdout.getReader(), "stdout");
    this.#pump(this.#process.stderr.getReader(), "stderr");
  }

  #pump(reader: ReadableStreamDefaultReader<Uint8Array>, stream: LogStream): void {
    this.#readers.push(reader);
    const next = (): void => {
      reader.read().then(
        ({ done, value }) => {
          if (this.#isEnded) return;
          if (done) return this.#closed();
          if (value.byteLength > 0) this.#options.onOutput(stream, value);
          next();
        },
        () => this.#closed(),
      );
    };
    next();
  }

  #closed(): void {
    this.#openStreams -= 1;
    if (this.#openStreams === 0 && this.#exit !== null) this.#finish();
  }

  #abandonOutput(): void {
    this.#finish();
    for (const reader of this.#readers) reader.cancel().catch(() => {});
  }

  #finish(): void {
    if (this.#isEnded || this.#exit === null) return;
    this.#isEnded = true;
    clearTimeout(this.#drainTimer);
    this.#options.onEnd({ ...this.#exit, reason: this.#reason });
  }

  #signalGroup(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.#process.pid, signal);
    } catch {
      // Nobody left in the group: the usual case after an exit.
    }
  }
}

function exitOf(
  exitCode: number | null,
  signal: number | string | null,
): { exitCode: number; signal: string | null } {
  if (signal === null) return { exitCode: exitCode ?? 0, signal: null };
  const known = Object.entries(constants.signals).find(
    ([name, number]) => name === signal || number === signal,
  );
  if (known === undefined) return { exitCode: exitCode ?? 128, signal: String(signal) };
  return { exitCode: 128 + known[1], signal: known[0] };
}
