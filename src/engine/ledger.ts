/**
 * The jobs that one commit touches: loaded once, changed in memory by the rules, written back once.
 *
 * All changes of state go through `move`, which checks them against the state machine, notes the event and
 * the tally, and remembers whose dependents may be affected. `flush` writes everything, dependents included.
 */
import { countsChange, pendingState, type Standing, standingOf } from "../domain/dependencies.ts";
import type { AttemptOutcome, DialectName, Job, JobEvent, JobState, Json } from "../domain/job.ts";
import type { Shape } from "../domain/shape.ts";
import { type Cause, checkTransition, isHeld, isPending } from "../domain/stateMachine.ts";
import type { JobControl, JobUpdate, StoredShape, TallyChange, Transaction } from "../store/store.ts";
import type { EngineEvent } from "./engine.ts";
import type { NameEvent } from "./nameCounts.ts";

interface Entry {
  readonly control: JobControl;
  /** Standing as the dependents' counts in the store know it. */
  told: Standing;
  events: Omit<JobEvent, "seq">[];
  result: Json | undefined;
  isDirty: boolean;
  isDeleted: boolean;
}

type Tally = { -readonly [Key in keyof TallyChange]: TallyChange[Key] };

export class Ledger {
  readonly #tx: Transaction;
  readonly #entries = new Map<number, Entry>();
  readonly #missing = new Set<number>();
  readonly #shapes = new Map<number, StoredShape>();
  readonly #tallies = new Map<string, Tally>();
  readonly #lastTallies: Tally[] = [];
  /** Jobs whose standing may have changed since their dependents were told. */
  readonly #unsettled = new Set<number>();
  readonly #dirty = new Set<number>();
  readonly #deleted: number[] = [];
  /** Jobs of each shape that became ready, less those that were taken. */
  readonly #readied = new Map<number, { readonly shape: Shape; count: number }>();
  readonly events: EngineEvent[] = [];
  /** Of jobs that are counted by name. */
  readonly nameEvents: NameEvent[] = [];
  readonly now: number;
  readonly #countedByName: readonly DialectName[];

  /** @param countedByName APIs whose jobs are counted by name. */
  constructor(tx: Transaction, now: number, countedByName: readonly DialectName[]) {
    this.#tx = tx;
    this.now = now;
    this.#countedByName = countedByName;
  }

  get tx(): Transaction {
    return this.#tx;
  }

  /** Loads what is not loaded yet; ids that do not exist are remembered as missing. */
  async load(ids: readonly number[]): Promise<void> {
    const wanted = [...new Set(ids)].filter((id) => !this.#entries.has(id) && !this.#missing.has(id));
    if (wanted.length === 0) return;
    for (const control of await this.#tx.loadControls(wanted)) this.#keep(control);
    for (const id of wanted) if (!this.#entries.has(id)) this.#missing.add(id);
    await this.#loadShapes(wanted);
  }

  /** Loads these and reads them whole; jobs that this commit has changed already must have been flushed. */
  async loadWhole(ids: readonly number[]): Promise<readonly Job[]> {
    const both = await this.#tx.loadBoth(ids);
    for (const { control } of both) if (!this.#entries.has(control.id)) this.#keep(control);
    await this.#loadShapes(ids);
    return both.map(({ job }) => job);
  }

  #keep(control: JobControl): void {
    this.#entries.set(control.id, {
      control,
      told: standingOf(control.state),
      events: [],
      result: undefined,
      isDirty: false,
      isDeleted: false,
    });
  }

  async #loadShapes(ids: readonly number[]): Promise<void> {
    const unknown = new Set<number>();
    for (const id of ids) {
      const shapeId = this.#entries.get(id)?.control.shapeId;
      if (shapeId !== undefined && !this.#shapes.has(shapeId)) unknown.add(shapeId);
    }
    if (unknown.size > 0) this.keepShapes(await this.#tx.shapes([...unknown]));
  }

  keepShapes(shapes: readonly StoredShape[]): void {
    for (const shape of shapes) this.#shapes.set(shape.shapeId, shape);
  }

  /** The record of a loaded job; undefined when there is no such job, or not any more. */
  get(id: number): JobControl | undefined {
    const entry = this.#entries.get(id);
    return entry === undefined || entry.isDeleted ? undefined : entry.control;
  }

  shape(job: JobControl): StoredShape {
    const shape = this.#shapes.get(job.shapeId);
    if (shape === undefined) throw new Error(`shape ${job.shapeId} of job ${job.id} is not loaded`);
    return shape;
  }

  /** The job stands in the line of another shape now; the store has been told. */
  async reshape(job: JobControl, shapeId: number): Promise<void> {
    this.#tally(job, job.state, -1);
    job.shapeId = shapeId;
    await this.#loadShapes([job.id]);
    this.#tally(job, job.state, 1);
    if (job.state === "ready") this.#countReadied(job.shapeId, this.shape(job), 1);
  }

  /** Notes that fields other than the state were changed. */
  touch(job: JobControl): void {
    job.updatedAt = this.now;
    this.#entry(job.id).isDirty = true;
    this.#dirty.add(job.id);
  }

  setResult(job: JobControl, result: Json): void {
    this.#entry(job.id).result = result;
    this.touch(job);
  }

  /**
   * Changes a job's state.
   * @param reason what the job's history says; the cause where absent.
   * @throws IllegalTransitionError for a change that the state machine does not have.
   */
  move(job: JobControl, to: JobState, cause: Cause, reason: string = cause): void {
    const from = job.state;
    checkTransition(from, to, cause);
    this.#tally(job, from, -1);
    this.#tally(job, to, 1);
    const entry = this.#entry(job.id);
    entry.events.push({ time: this.now, from, to, attempt: job.attempt, reason });
    job.state = to;
    if (from === "ready") this.#countReadied(job.shapeId, this.shape(job), -1);
    if (to === "ready") {
      job.readyAt = this.now;
      this.#countReadied(job.shapeId, this.shape(job), 1);
    }
    this.touch(job);
    if (entry.told !== standingOf(to)) this.#unsettled.add(job.id);
    this.#announce(job, from, to);
    if (to === "succeeded" || to === "failed" || to === "cancelled") this.countName(job, to);
  }

  /** Counts what happened to a job, where its API wants that. */
  countName(job: JobControl, event: NameEvent["event"]): void {
    const { dialect, name, workerId, startedAt } = job;
    if (!this.#countedByName.includes(dialect)) return;
    const isResult = event === "succeeded" || event === "failed";
    this.nameEvents.push({
      dialect,
      name,
      queue: this.shape(job).queue,
      workerId: isResult ? workerId : null,
      event,
      ...(isResult && startedAt !== null ? { runMs: this.now - startedAt } : {}),
    });
  }

  /** Keeps the facts of an attempt that ended before the job did. */
  async keepAttempt(
    job: JobControl,
    outcome: AttemptOutcome,
    endedAt: number | null = this.now,
  ): Promise<void> {
    const worker = job.workerId === null ? undefined : (await this.#tx.workers([job.workerId]))[0];
    await this.#tx.insertAttempts([
      {
        jobId: job.id,
        number: job.attempt,
        workerId: job.workerId,
        workerAddress: worker?.address ?? null,
        startedAt: job.startedAt,
        endedAt,
        outcome,
        exitCode: job.exitCode,
        error: job.error,
      },
    ]);
  }

  /** Takes a job away. Its dependents are told when it had not succeeded. */
  delete(job: JobControl): void {
    const entry = this.#entry(job.id);
    entry.isDeleted = true;
    this.#tally(job, job.state, -1);
    this.#deleted.push(job.id);
    this.#dirty.delete(job.id);
    if (job.state !== "succeeded") this.#unsettled.add(job.id);
    else this.#unsettled.delete(job.id);
    this.#announce(job, job.state, null);
  }

  /** Counts jobs that were just inserted, and announces them. */
  created(jobs: readonly { readonly job: Job; readonly shape: Shape; readonly shapeId: number }[]): void {
    for (const { job, shape, shapeId } of jobs) {
      const { id, key, dialect, kind, queue, projectId, state } = job;
      this.#addTally({ dialect, queue, kind, projectId, state }, 1);
      if (state === "ready") this.#countReadied(shapeId, shape, 1);
      if (this.#countedByName.includes(dialect)) {
        this.nameEvents.push({ dialect, name: job.name, queue, workerId: null, event: "submitted" });
      }
      this.events.push({
        type: "job",
        id,
        key,
        dialect,
        kind,
        queue,
        projectId,
        from: null,
        to: state,
        attempt: 0,
        workerId: null,
        time: this.now,
      });
    }
  }

  #countReadied(shapeId: number, shape: Shape, change: number): void {
    const readied = this.#readied.get(shapeId);
    if (readied === undefined) this.#readied.set(shapeId, { shape, count: change });
    else readied.count += change;
  }

  /** How many more jobs of each shape are ready than before: whom to wake. */
  readied(): ReadonlyMap<Shape, number> {
    const readied = new Map<Shape, number>();
    for (const { shape, count } of this.#readied.values()) if (count > 0) readied.set(shape, count);
    return readied;
  }

  /** Tells the dependents of everything that changed, then writes it all. May be called more than once. */
  async flush(): Promise<void> {
    await this.#settleDependents();
    const updates: JobUpdate[] = [];
    for (const id of this.#dirty) {
      const entry = this.#entry(id);
      updates.push(
        entry.result === undefined
          ? { control: entry.control, events: entry.events }
          : { control: entry.control, events: entry.events, result: entry.result },
      );
      entry.events = [];
      entry.result = undefined;
      entry.isDirty = false;
    }
    this.#dirty.clear();
    if (updates.length > 0) await this.#tx.updateJobs(updates);
    if (this.#deleted.length > 0) await this.#tx.deleteJobs(this.#deleted.splice(0));
    const tallies = [...this.#tallies.values()].filter((tally) => tally.change !== 0);
    this.#tallies.clear();
    this.#lastTallies.length = 0;
    if (tallies.length > 0) await this.#tx.addTallies(tallies);
  }

  /** Breadth first, level by level, so that a chain or a fan of ten thousands needs no deep stack. */
  async #settleDependents(): Promise<void> {
    while (this.#unsettled.size > 0) {
      const changes = new Map<number, { unmet: number; doomed: number }>();
      for (const id of this.#unsettled) {
        const entry = this.#entry(id);
        const standing = standingOf(entry.isDeleted ? null : entry.control.state);
        if (standing === entry.told) continue;
        changes.set(id, countsChange(entry.told, standing));
        entry.told = standing;
      }
      this.#unsettled.clear();
      if (changes.size === 0) return;
      const edges = await this.#tx.dependents([...changes.keys()]);
      await this.load(edges.map((edge) => edge.jobId));
      for (const { jobId, dependsOn } of edges) {
        const dependent = this.get(jobId);
        const change = changes.get(dependsOn);
        if (dependent === undefined || change === undefined) continue;
        dependent.unmet += change.unmet;
        dependent.doomed += change.doomed;
        this.touch(dependent);
      }
      // After all counts are right: a job may depend on several that changed together.
      for (const id of new Set(edges.map((edge) => edge.jobId))) {
        const dependent = this.get(id);
        if (dependent !== undefined) this.settlePending(dependent);
      }
    }
  }

  /** Puts a job that no worker holds into the state that its counts and its time call for. */
  settlePending(job: JobControl): void {
    if (!isPending(job.state)) return;
    const to = pendingState(job, this.now);
    if (to === job.state) return;
    this.move(job, to, pendingCause(job.state, to));
  }

  #entry(id: number): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new Error(`job ${id} is not loaded`);
    return entry;
  }

  #tally(job: JobControl, state: JobState, change: number): void {
    const { queue, kind } = this.shape(job);
    this.#addTally({ dialect: job.dialect, queue, kind, projectId: job.projectId, state }, change);
  }

  #addTally(group: Omit<TallyChange, "change">, change: number): void {
    // A batch is made of few groups, and jobs of one follow each other: the last two are looked at first.
    for (const tally of this.#lastTallies) {
      if (isSameGroup(tally, group)) {
        tally.change += change;
        return;
      }
    }
    const key = `${group.dialect} ${group.kind} ${group.projectId} ${group.state} ${group.queue}`;
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = { ...group, change: 0 };
      this.#tallies.set(key, tally);
    }
    tally.change += change;
    if (this.#lastTallies.unshift(tally) > 2) this.#lastTallies.pop();
  }

  #announce(job: JobControl, from: JobState, to: JobState | null): void {
    const { queue, kind } = this.shape(job);
    this.events.push({
      type: "job",
      id: job.id,
      key: job.key,
      dialect: job.dialect,
      kind,
      queue,
      projectId: job.projectId,
      from,
      to,
      attempt: job.attempt,
      workerId: to !== null && isHeld(to) ? job.workerId : null,
      time: this.now,
    });
  }
}

function pendingCause(from: JobState, to: JobState): Cause {
  if (to === "blocked") return "dependency failed";
  if (from === "blocked") return "dependency back";
  return to === "ready" ? "ready" : "dependency reopened";
}

function isSameGroup(a: Omit<TallyChange, "change">, b: Omit<TallyChange, "change">): boolean {
  return (
    a.state === b.state &&
    a.queue === b.queue &&
    a.projectId === b.projectId &&
    a.kind === b.kind &&
    a.dialect === b.dialect
  );
}
