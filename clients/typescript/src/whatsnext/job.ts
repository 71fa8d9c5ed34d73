/**
 * A job: made here and appended to a project's queue, or fetched from one.
 *
 * ```ts
 * const first = await project.appendQueue(new Job({ name: "job-a", task: "step1", parameters: {} }));
 * await project.appendQueue(new Job({ name: "job-b", task: "step2", depends: { [first.id]: first.name } }));
 * ```
 */
import type { JsonObject } from "../types.ts";
import type { CallOptions, Connection } from "./connection.ts";
import { type JobOutcome, type JobResource, type RunOptions, runJob } from "./runJob.ts";
import { readTimestamp } from "./timestamp.ts";
import type { ChangedWire, DependenciesWire, JobStatus, JobWire, NewJobWire } from "./wire.ts";

export interface JobOptions {
  name: string;
  /** Name of a task of the project. */
  task: string;
  /** What a formatter turns into a command. */
  parameters?: JsonObject | undefined;
  /** Higher runs first; default 0. */
  priority?: number | undefined;
  /** Jobs that must complete before: id → name. */
  depends?: Readonly<Record<string, string>> | undefined;
}

/** What a job waits for. */
export interface JobDependencies {
  readonly dependencies: readonly {
    readonly id: number;
    readonly name: string;
    readonly status: JobStatus;
  }[];
  readonly allCompleted: boolean;
  readonly hasFailed: boolean;
}

export class Job {
  readonly task: string;
  #connection: Connection | null = null;
  #wire: JobWire | null = null;
  readonly #name: string;
  readonly #parameters: JsonObject;
  readonly #priority: number;
  readonly #depends: Readonly<Record<string, string>>;

  /** @throws {TypeError} naming the option that is wrong, and what is allowed */
  constructor({ name, task, parameters = {}, priority = 0, depends = {} }: JobOptions) {
    if (typeof name !== "string" || name === "") throw new TypeError("Job: name must be a text, not empty");
    if (typeof task !== "string" || task === "") {
      throw new TypeError(`Job "${name}": task must be the name of a task`);
    }
    if (!Number.isInteger(priority)) throw new TypeError(`Job "${name}": priority must be an integer`);
    if (typeof parameters !== "object" || parameters === null || Array.isArray(parameters)) {
      throw new TypeError(`Job "${name}": parameters must be an object, name → value`);
    }
    this.task = task;
    this.#name = name;
    this.#parameters = parameters;
    this.#priority = priority;
    this.#depends = checkedDepends(name, depends);
  }

  /** A job as the server holds it. */
  static from(connection: Connection, wire: JobWire, task: string): Job {
    const job = new Job({ name: wire.name, task });
    job.bind(connection, wire);
    return job;
  }

  /** Ties this job to the one that the server made of it. Called by `Project`. */
  bind(connection: Connection, wire: JobWire): void {
    this.#connection = connection;
    this.#wire = wire;
  }

  /** What the server is sent to create this job. Called by `Project`. */
  toWire(taskIds: ReadonlyMap<string, number>): Required<Omit<NewJobWire, "project_id">> {
    const task_id = taskIds.get(this.task);
    if (task_id === undefined) throw new Error(`no id for task "${this.task}"`);
    return {
      name: this.name,
      task_id,
      parameters: this.parameters,
      priority: this.priority,
      depends: { ...this.depends },
    };
  }

  /** Given by the server. @throws {Error} before the job was appended to a queue. */
  get id(): number {
    return this.#bound().wire.id;
  }
  /** Whether the server knows the job, so that it has an id. */
  get isSubmitted(): boolean {
    return this.#wire !== null;
  }
  get name(): string {
    return this.#wire?.name ?? this.#name;
  }
  get taskId(): number {
    return this.#bound().wire.task_id;
  }
  get projectId(): number {
    return this.#bound().wire.project_id;
  }
  get parameters(): JsonObject {
    return this.#wire?.parameters ?? this.#parameters;
  }
  /** As last heard from the server; `PENDING` before it was appended. */
  get status(): JobStatus {
    return this.#wire?.status ?? "PENDING";
  }
  get priority(): number {
    return this.#wire?.priority ?? this.#priority;
  }
  get depends(): Readonly<Record<string, string>> {
    return this.#wire === null ? this.#depends : (this.#wire.depends ?? {});
  }
  get createdAt(): Date {
    return readTimestamp(this.#bound().wire.created_at);
  }
  get updatedAt(): Date {
    return readTimestamp(this.#bound().wire.updated_at);
  }

  /** Reads the job from the server again. */
  async refresh(options: CallOptions = {}): Promise<this> {
    const { connection, wire } = this.#bound();
    this.#wire = await connection.read<JobWire>(`/jobs/${wire.id}`, {}, options);
    return this;
  }

  /** Sets the status; the rest is sent as last heard, which the holder of a job knows best. */
  setStatus(status: JobStatus, options: CallOptions = {}): Promise<void> {
    return this.#put({ status }, options);
  }

  /** Sets the priority. The job is read first, so that a status changed meanwhile is not turned back. */
  async setPriorityTo(priority: number, options: CallOptions = {}): Promise<void> {
    if (!Number.isInteger(priority)) throw new TypeError(`priority must be an integer, got ${priority}`);
    await (await this.refresh(options)).#put({ priority }, options);
  }

  /** Sets the jobs to wait for, id → name, in place of those before. */
  async setDependsTo(depends: Readonly<Record<string, string>>, options: CallOptions = {}): Promise<void> {
    const checked = checkedDepends(this.name, depends);
    await (await this.refresh(options)).#put({ depends: checked }, options);
  }

  async dependencies(options: CallOptions = {}): Promise<JobDependencies> {
    const { connection, wire } = this.#bound();
    const answer = await connection.read<DependenciesWire>(`/jobs/${wire.id}/dependencies`, {}, options);
    const dependencies = answer.dependencies.map(({ id, name, status }) => ({ id, name, status }));
    const hasFailed = dependencies.some(({ status }) => status === "FAILED" || status === "BLOCKED");
    return { dependencies, allCompleted: answer.all_completed, hasFailed: answer.has_failed ?? hasFailed };
  }

  /**
   * Runs the job here: `RUNNING`, format, execute, then `COMPLETED` on exit 0 and else `FAILED`.
   *
   * @param resource holds the formatter: a `Client`, or `{ formatter }`
   */
  run(resource: JobResource, options: RunOptions = {}): Promise<JobOutcome> {
    return runJob(this, resource, options);
  }

  async #put(change: Partial<JobWire>, options: CallOptions): Promise<void> {
    const { connection, wire } = this.#bound();
    const { name, project_id, task_id, parameters, status, priority } = wire;
    const depends = wire.depends ?? {};
    const body = { name, project_id, task_id, parameters, status, priority, depends, ...change };
    this.#wire = (await connection.change<ChangedWire<JobWire>>(`/jobs/${wire.id}`, body, options)).data;
  }

  #bound(): { connection: Connection; wire: JobWire } {
    if (this.#connection === null || this.#wire === null) {
      throw new Error(`job "${this.#name}" has no id yet: append it to a project's queue first`);
    }
    return { connection: this.#connection, wire: this.#wire };
  }
}

function checkedDepends(job: string, depends: Readonly<Record<string, string>>): Record<string, string> {
  for (const id of Object.keys(depends)) {
    if (!/^\d+$/.test(id)) {
      throw new TypeError(`Job "${job}": depends maps the ids of jobs to their names; "${id}" is no id`);
    }
  }
  return { ...depends };
}
