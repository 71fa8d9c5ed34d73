/**
 * What stands around one job: a sandbox, limits, or both. Supervision starts `argv` instead of the job's own
 * program and asks here how to end the job and how it ended.
 */
import { readFileSync } from "node:fs";
import type { EndReason } from "../supervisedProcess.ts";
import type { JobCgroup } from "./jobCgroup.ts";
import type { JobLimits } from "./jobLimits.ts";
import { readKeeperStatus } from "./launchScripts.ts";
import type { StatusFile } from "./statusFile.ts";

/** How a process ended, before anybody asked why. */
export interface RawEnd {
  readonly exitCode: number;
  /** Name of the signal; null when there was none. */
  readonly signal: string | null;
}

/** How the job ended, and what its confinement has to say about it. */
export interface ConfinedEnd extends RawEnd {
  /** A limit reached, a program not found inside; null where nothing is to be said. */
  readonly error: string | null;
}

export interface ConfinementParts {
  readonly argv: readonly string[];
  /** Environment of `argv`, which in a sandbox is not the job's. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Given to `argv` as standard input; null is none. */
  readonly input: Uint8Array | null;
  readonly status: StatusFile;
  readonly limits: JobLimits;
  /** Null where limits are those of each process alone. */
  readonly cgroup: JobCgroup | null;
  /** In a sandbox the job is a grandchild; else `argv` becomes the job. */
  readonly isSandboxed: boolean;
  /** The job's program, for messages. */
  readonly program: string;
  /** Told when the job is over: the group can go. */
  readonly onReleased: (confinement: Confinement) => void;
  readonly signalName: (number: number) => string | null;
}

export class Confinement {
  readonly #parts: ConfinementParts;
  #isReleased = false;
  #hasSpentCpu = false;
  #endNow: ((reason: EndReason) => void) | null = null;
  /** CPU time that the group told of before it was given back. */
  #endCpuMs: number | null = null;

  constructor(parts: ConfinementParts) {
    this.#parts = parts;
  }

  get argv(): readonly string[] {
    return this.#parts.argv;
  }

  get env(): Readonly<Record<string, string>> {
    return this.#parts.env;
  }

  get cwd(): string {
    return this.#parts.cwd;
  }

  get input(): Uint8Array | null {
    return this.#parts.input;
  }

  get cgroup(): JobCgroup | null {
    return this.#parts.cgroup;
  }

  /** The job is a grandchild of the process that was started, which tells nothing of what it used. */
  get isSandboxed(): boolean {
    return this.#parts.isSandboxed;
  }

  /** CPU time used by the whole job; null where nobody counts it. */
  get cpuMs(): number | null {
    return this.#isReleased ? this.#endCpuMs : (this.#parts.cgroup?.cpuMs ?? null);
  }

  /** Descriptors that `argv` gets from 3 on. */
  get descriptors(): readonly number[] {
    return [this.#parts.status.fd];
  }

  /** Supervision says how to end the job for a limit. */
  onLimit(endNow: (reason: EndReason) => void): void {
    this.#endNow = endNow;
  }

  /** Ends the job when it has used up its CPU time. */
  checkCpu(): void {
    const { cgroup, limits } = this.#parts;
    const usedMs = limits.cpuSeconds === null ? null : (cgroup?.cpuMs ?? null);
    if (usedMs !== null && limits.cpuSeconds !== null && usedMs > limits.cpuSeconds * 1_000) {
      this.#hasSpentCpu = true;
      this.#endNow?.("cpuLimit");
    }
  }

  /**
   * Asks the job to end, with SIGTERM to its group. False when nothing of it runs yet: then the process that was
   * started can be ended itself.
   *
   * @param pid the process that was started
   */
  askToEnd(pid: number): boolean {
    if (!this.#parts.isSandboxed) return false;
    // Bubblewrap's child leads the job's group and is process 1 of the sandbox, which no signal ends but SIGKILL.
    const leader = onlyChildOf(pid);
    if (leader === null) return false;
    try {
      process.kill(-leader, "SIGTERM");
      return true;
    } catch {
      return false;
    }
  }

  /** How the job ended, from how the process that was started did. Gives back what the job had. */
  ended(raw: RawEnd): ConfinedEnd {
    const end = this.#endOf(raw);
    this.release();
    return end;
  }

  /** Gives back what the job had; also when it was never started. */
  release(): void {
    if (this.#isReleased) return;
    this.#endCpuMs = this.cpuMs;
    this.#isReleased = true;
    this.#parts.status.close();
    this.#parts.onReleased(this);
  }

  #endOf(raw: RawEnd): ConfinedEnd {
    const { isSandboxed, status, program, signalName } = this.#parts;
    const said = readKeeperStatus(status.read());
    const name = JSON.stringify(program);
    if (said.refusal === "missing") {
      const where = isSandboxed ? " among what isolated jobs see" : "";
      return { exitCode: 127, signal: null, error: `the program ${name} was not found${where}` };
    }
    if (said.refusal === "locked") {
      return { exitCode: 126, signal: null, error: `the program ${name} is not executable` };
    }
    if (!said.hasBegun) {
      const error = "the program was not started: its isolation could not be set up; stderr says why";
      return { ...raw, error: this.#limitReached(raw) ?? (raw.signal === null ? error : null) };
    }
    const end = isSandboxed ? sandboxedEnd(raw, said.exitCode, said.isSignal, signalName) : raw;
    return { ...end, error: this.#limitReached(end) };
  }

  /** What a job that failed ran into. */
  #limitReached(end: RawEnd): string | null {
    if (end.exitCode === 0 && end.signal === null) return null;
    const { limits, cgroup } = this.#parts;
    if (limits.memoryMb !== null && cgroup?.ranOutOfMemory === true) {
      return `the program used more than its ${limits.memoryMb} MiB of memory`;
    }
    if (limits.cpuSeconds !== null && (this.#hasSpentCpu || end.signal === "SIGXCPU")) {
      return `the program used more than its ${limits.cpuSeconds} s of CPU time`;
    }
    if (limits.processes !== null && cgroup?.ranOutOfProcesses === true) {
      return `the program ended with exit code ${end.exitCode} after it reached its limit of ${limits.processes} processes`;
    }
    return null;
  }
}

/** The keeper knows; where it was ended with the job, bubblewrap says 128 and the signal. */
function sandboxedEnd(
  raw: RawEnd,
  exitCode: number | null,
  isSignal: boolean,
  signalName: (number: number) => string | null,
): RawEnd {
  if (exitCode !== null) return { exitCode, signal: isSignal ? signalName(exitCode - 128) : null };
  if (raw.signal !== null) return raw;
  return { exitCode: raw.exitCode, signal: raw.exitCode > 128 ? signalName(raw.exitCode - 128) : null };
}

/** Linux says it at no cost; elsewhere there is no sandbox. */
function onlyChildOf(pid: number): number | null {
  try {
    const [child = ""] = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ");
    const number = Number(child);
    return Number.isInteger(number) && number > 1 ? number : null;
  } catch {
    return null;
  }
}
