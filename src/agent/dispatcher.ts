/**
 * The jobs an agent holds: those that wait for a slot, in the order they were claimed, and those that run.
 * A job is started only when all it needs is free.
 */
import type { ClaimedJob, JobKind, JobResult } from "@yardmaster/client";
import { add, fits, type Resources, subtract } from "../domain/resources.ts";
import type { AgentLog } from "./agentLog.ts";
import type { MakeRoom } from "./diskRoom.ts";
import { JobRun, type RunServices } from "./jobRun.ts";
import { type AttemptKey, type AttemptRef, attemptKey } from "./journal.ts";
import type { LeaseKeeper } from "./leaseKeeper.ts";
import type { MachineBusyError } from "./machineFault.ts";
import { MachinePause } from "./machinePause.ts";
import type { Prefetch } from "./prefetch.ts";
import type { Runner } from "./runner.ts";
import type { Slots } from "./slots.ts";
import type { EndReason } from "./supervisedProcess.ts";

/** Jobs that may prepare, such as download what they run, while their slots serve others. */
const MAX_PREPARING = 8;

export interface DispatcherOptions {
  readonly services: RunServices;
  readonly slots: Slots;
  readonly leases: LeaseKeeper;
  readonly prefetch: Prefetch;
  readonly runners: ReadonlyMap<JobKind, Runner>;
  readonly maxJobs: number;
  readonly maxAgeMs: number;
  readonly log: AgentLog;
  /** Makes room on a full disk. */
  readonly makeRoom: MakeRoom;
  /** A result is ready to be delivered. */
  readonly onResult: (result: JobResult) => void;
  /** Something became free, or nothing is left: the claim loop may want to act. */
  readonly onChange: () => void;
}

interface QueuedJob {
  readonly job: ClaimedJob;
  readonly arrivedMs: number;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #queue: QueuedJob[] = [];
  readonly #runs = new Map<AttemptKey, JobRun>();
  /** Runs whose slots serve others until they are prepared. */
  readonly #slotless = new Set<JobRun>();
  /** Those of them that are prepared and wait for slots, first come first. */
  readonly #prepared: JobRun[] = [];
  /** Runs that use slots, or are about to: less than `#runs` while output is still being read or sent. */
  #active = 0;
  #ageTimer: ReturnType<typeof setTimeout> | undefined;
  /** On while the machine is at fault. */
  readonly #pause: MachinePause;
  #isClosing = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { log, makeRoom, onChange } = options;
    this.#pause = new MachinePause({ log, makeRoom, onOver: onChange });
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Jobs whose result is not yet on its way. */
  get running(): number {
    return this.#runs.size;
  }

  get hasRoom(): boolean {
    return this.#active < this.#options.maxJobs && !this.#pause.isOn;
  }

  get active(): number {
    return this.#active;
  }

  /** Nothing runs, and nothing that jobs left is still being gathered. */
  get isDone(): boolean {
    if (this.#active > 0) return false;
    for (const run of this.#runs.values()) if (run.isSettling) return false;
    return true;
  }

  /** Says whether processes of the job may be there. */
  runs(id: number): boolean {
    for (const run of this.#runs.values()) if (run.job.id === id) return true;
    return false;
  }

  /** What is free after the waiting jobs have taken theirs; may be negative where jobs were claimed ahead. */
  freeAfterQueue(): Resources {
    let free = this.#options.slots.free;
    for (const { job } of this.#queue) free = subtract(free, job.resources);
    for (const { job } of this.#prepared) free = subtract(free, job.resources);
    return free;
  }

  /** Takes jobs just claimed. */
  accept(jobs: readonly ClaimedJob[]): void {
    this.#options.services.journal.claimed(jobs);
    this.#options.leases.hold(jobs);
    const arrivedMs = performance.now();
    for (const job of jobs) {
      // Those of a poll that was under way when the machine turned out to be at fault go on to others.
      if (this.#isClosing || this.#pause.isOn) this.#release(job);
      else if (!fits(job.resources, this.#options.slots.total) || !this.#options.runners.has(job.kind)) {
        // It was claimed ahead, by a claim that asked for more than the machine has.
        this.#options.prefetch.suspend(arrivedMs);
        this.#release(job);
      } else this.#queue.push({ job, arrivedMs });
    }
    this.#startMore();
    this.#watchAge();
  }

  /** Ends the run of an attempt, or forgets it if it waits. */
  end(key: AttemptKey, reason: EndReason): void {
    const run = this.#runs.get(key);
    if (run !== undefined) {
      run.end(reason);
      return;
    }
    const at = this.#queue.findIndex(({ job }) => attemptKey(job) === key);
    const waiting = this.#queue[at];
    if (waiting === undefined) return;
    this.#queue.splice(at, 1);
    this.#forget(waiting.job);
  }

  /** Starts nothing more and gives back what waits. */
  close(): void {
    this.#isClosing = true;
    this.#pause.stop();
    clearTimeout(this.#ageTimer);
    for (const { job } of this.#queue.splice(0)) this.#release(job);
  }

  /** Ends every run. */
  endAll(reason: EndReason): void {
    for (const run of this.#runs.values()) run.end(reason);
  }

  #startMore(): void {
    for (;;) {
      const prepared = this.#prepared[0];
      if (prepared !== undefined) {
        const grant = this.#options.slots.take(prepared.job.resources);
        if (grant === null) return;
        this.#prepared.shift();
        this.#slotless.delete(prepared);
        prepared.resume(grant);
        continue;
      }
      const next = this.#queue[0];
      if (next === undefined || this.#active >= this.#options.maxJobs) return;
      const grant = this.#options.slots.take(next.job.resources);
      if (grant === null) return;
      this.#queue.shift();
      const runner = this.#options.runners.get(next.job.kind);
      if (runner === undefined) throw new Error(`no runner for ${next.job.kind}`);
      const run = new JobRun(next.job, grant, runner, this.#options.services, this.#events);
      this.#active += 1;
      this.#runs.set(attemptKey(next.job), run);
      run.start();
    }
  }

  readonly #events = {
    onPreparing: (run: JobRun): void => {
      if (this.#slotless.size >= MAX_PREPARING) return;
      this.#slotless.add(run);
      this.#options.slots.giveBack(run.grant);
      this.#startMore();
      this.#options.onChange();
    },
    onPrepared: (run: JobRun): void => {
      if (this.#slotless.has(run)) {
        this.#prepared.push(run);
        this.#startMore();
      } else run.resume(run.grant);
    },
    onStarted: (run: JobRun): void => {
      this.#pause.jobStarted();
      this.#options.leases.started(attemptKey(run.job));
    },
    onFree: (run: JobRun): void => {
      this.#active -= 1;
      if (!this.#slotless.delete(run)) this.#options.slots.giveBack(run.grant);
      const place = this.#prepared.indexOf(run);
      if (place >= 0) this.#prepared.splice(place, 1);
      this.#options.leases.ended(attemptKey(run.job));
      const runMs = run.runMs();
      if (runMs !== null) this.#options.prefetch.ran(run.job.resources, runMs);
      this.#startMore();
      this.#options.onChange();
    },
    onMachineBusy: (fault: MachineBusyError): void => {
      this.#pause.begin(fault);
      // Claimed ahead: others need not wait for this machine.
      for (const { job } of this.#queue.splice(0)) this.#release(job);
    },
    onFinished: (run: JobRun, result: JobResult | null): void => {
      this.#runs.delete(attemptKey(run.job));
      if (result === null) this.#options.leases.release(attemptKey(run.job));
      else this.#options.onResult(result);
      this.#options.onChange();
    },
  };

  #release({ id, attempt }: AttemptRef): void {
    const result: JobResult = { id, attempt, outcome: "released" };
    this.#options.services.journal.finished(result, []);
    this.#options.onResult(result);
  }

  #forget(job: AttemptRef): void {
    this.#options.services.journal.done([job]);
    this.#options.leases.release(attemptKey(job));
    this.#options.onChange();
  }

  /** Gives back jobs claimed ahead that have waited too long: another agent may be free for them. */
  #watchAge(): void {
    const oldest = this.#queue[0];
    if (oldest === undefined || this.#ageTimer !== undefined || this.#isClosing) return;
    const dueMs = oldest.arrivedMs + this.#options.maxAgeMs - performance.now();
    this.#ageTimer = setTimeout(
      () => {
        this.#ageTimer = undefined;
        const nowMs = performance.now();
        while (this.#queue[0] !== undefined && this.#queue[0].arrivedMs + this.#options.maxAgeMs <= nowMs) {
          const old = this.#queue.shift();
          if (old !== undefined) this.#release(old.job);
        }
        this.#watchAge();
        this.#options.onChange();
      },
      Math.max(0, dueMs),
    );
  }
}

/** What `pending` claims may still bring is taken. */
export function lessPending(free: Resources, pending: Iterable<Resources>): Resources {
  let taken: Resources = { cpu: 0, accelerators: 0, memoryMb: 0 };
  for (const capacity of pending) taken = add(taken, capacity);
  return subtract(free, taken);
}
