/**
 * A project: tasks, and a queue of jobs. `Server.getProject` gives one.
 *
 * ```ts
 * const job = new Job({ name: "process-data", task: "data-pipeline", parameters: { input: "file.csv" } });
 * await project.appendQueue(job); // job.id is set
 * ```
 */
import type { CallOptions, Connection } from "./connection.ts";
import { EmptyQueueError } from "./errors.ts";
import { Job } from "./job.ts";
import { type Task, type TaskOptions, Tasks } from "./tasks.ts";
import { readTimestamp } from "./timestamp.ts";
import type { ChangedWire, FetchedJobWire, JobWire, ProjectStatus, ProjectWire } from "./wire.ts";

export interface FetchJobOptions extends CallOptions {
  /** Id of a registered client: the job is then its own, and is given back when that client dies. */
  clientId?: string | undefined;
}

const PAGE_SIZE = 1_000;

export class Project {
  readonly #connection: Connection;
  readonly #tasks: Tasks;
  #wire: ProjectWire;

  /** Use `Server.getProject` or `Server.appendProject`. */
  constructor(connection: Connection, wire: ProjectWire) {
    this.#connection = connection;
    this.#wire = wire;
    this.#tasks = new Tasks(connection, wire.id);
  }

  /** The connection that this project's clients use too. */
  get connection(): Connection {
    return this.#connection;
  }
  get id(): number {
    return this.#wire.id;
  }
  get name(): string {
    return this.#wire.name;
  }
  get description(): string {
    return this.#wire.description ?? "";
  }
  get status(): ProjectStatus {
    return this.#wire.status;
  }
  get createdAt(): Date {
    return readTimestamp(this.#wire.created_at);
  }
  get lastUpdated(): Date {
    return readTimestamp(this.#wire.updated_at);
  }

  /** Reads the project's properties again. */
  async refresh(options: CallOptions = {}): Promise<this> {
    this.#wire = await this.#connection.read<ProjectWire>(`/projects/${this.id}`, {}, options);
    return this;
  }

  setName(name: string, options: CallOptions = {}): Promise<void> {
    return this.#change({ name }, options);
  }

  setDescription(description: string, options: CallOptions = {}): Promise<void> {
    return this.#change({ description }, options);
  }

  setStatus(status: ProjectStatus, options: CallOptions = {}): Promise<void> {
    return this.#change({ status }, options);
  }

  async #change(change: Partial<ProjectWire>, options: CallOptions): Promise<void> {
    const path = `/projects/${this.id}`;
    this.#wire = (await this.#connection.change<ChangedWire<ProjectWire>>(path, change, options)).data;
  }

  /** Puts a job at the end of the queue, among those of its priority, and sets its `id`. */
  async appendQueue(job: Job, options: CallOptions = {}): Promise<Job> {
    const wire = await this.#tasks.withIds([job.task], options, (taskIds) =>
      this.#connection.create<JobWire>("/jobs/", { project_id: this.id, ...job.toWire(taskIds) }, options),
    );
    job.bind(this.#connection, wire);
    return job;
  }

  /** Appends all jobs in one call, all or none, and sets their ids. They may not depend on one another. */
  async extendQueue(jobs: Iterable<Job>, options: CallOptions = {}): Promise<Job[]> {
    const list = [...jobs];
    if (new Set(list).size < list.length)
      throw new TypeError("extendQueue: the same Job is in the list twice");
    if (list.length === 0) return list;
    const names = list.map((job) => job.task);
    const path = `/projects/${this.id}/jobs/batch`;
    const { created, taskIds } = await this.#tasks.withIds(names, options, async (taskIds) => {
      const body = { jobs: list.map((job) => job.toWire(taskIds)) };
      return { created: await this.#connection.create<{ job_ids: number[] }>(path, body, options), taskIds };
    });
    const now = new Date().toISOString();
    for (const [index, job] of list.entries()) {
      const id = created.job_ids[index];
      if (id === undefined)
        throw new Error(`POST ${path}: ${list.length} jobs sent, ids of ${index} came back`);
      const times = { created_at: now, updated_at: now };
      job.bind(this.#connection, {
        id,
        project_id: this.id,
        status: "PENDING",
        ...job.toWire(taskIds),
        ...times,
      });
    }
    return list;
  }

  /**
   * Takes the next job that may run: highest priority first, then the oldest. The job is `QUEUED` afterwards and is the
   * caller's to run. Never repeated once the server may have heard it.
   *
   * @param cpu CPUs that are free; 0 does not look at them
   * @param accelerators accelerators that are free; 0 does not look at them
   * @throws {EmptyQueueError} when there is none
   */
  async fetchJob(cpu = 0, accelerators = 0, { clientId, signal }: FetchJobOptions = {}): Promise<Job> {
    const query = {
      available_cpu: wholeNumber("cpu", cpu),
      available_accelerators: wholeNumber("accelerators", accelerators),
      client_id: clientId,
    };
    const path = `/projects/${this.id}/fetch_job`;
    const { job } = await this.#connection.claim<FetchedJobWire>(path, query, { signal });
    if (job === null) throw new EmptyQueueError(`no job of project "${this.name}" can run here now`);
    return Job.from(this.#connection, job, job.task_name ?? `task ${job.task_id}`);
  }

  /** The jobs that wait (`PENDING`), in the order in which they would be fetched. */
  async queue(options: CallOptions = {}): Promise<Job[]> {
    const jobs = (await this.jobs(options)).filter((job) => job.status === "PENDING");
    return jobs.sort((a, b) => b.priority - a.priority || a.id - b.id);
  }

  /** All jobs of the project, oldest first. */
  async jobs(options: CallOptions = {}): Promise<Job[]> {
    const names = new Map((await this.#tasks.list(options)).map((task) => [task.id, task.name]));
    const jobs: Job[] = [];
    for (;;) {
      const query = { project_id: this.id, limit: PAGE_SIZE, skip: jobs.length };
      const page = await this.#connection.read<JobWire[]>("/jobs/", query, options);
      for (const wire of page)
        jobs.push(Job.from(this.#connection, wire, names.get(wire.task_id) ?? `task ${wire.task_id}`));
      if (page.length < PAGE_SIZE) return jobs;
    }
  }

  async getJob(id: number, options: CallOptions = {}): Promise<Job> {
    const wire = await this.#connection.read<JobWire>(`/jobs/${id}`, {}, options);
    return Job.from(this.#connection, wire, (await this.#tasks.byId(wire.task_id, options)).name);
  }

  /**
   * Removes one job from the queue and gives it back. To take a job and run it, use `fetchJob`: this one does not keep
   * a worker from fetching the job a moment before it is removed.
   *
   * @param index position in `queue()`; negative counts from the end; default the last
   * @throws {EmptyQueueError} when no job waits
   * @throws {RangeError} when the queue has no such position
   */
  async popQueue(index = -1, options: CallOptions = {}): Promise<Job> {
    const queue = await this.queue(options);
    if (queue.length === 0) throw new EmptyQueueError(`the queue of project "${this.name}" is empty`);
    const job = Number.isInteger(index) ? queue.at(index) : undefined;
    if (job === undefined) {
      throw new RangeError(
        `the queue has positions ${-queue.length} to ${queue.length - 1}, there is no ${index}`,
      );
    }
    await this.removeJob(job, options);
    return job;
  }

  /** Deletes a job; those that wait for it are blocked unless it was completed. */
  async removeJob(job: number | Job, options: CallOptions = {}): Promise<void> {
    const id = typeof job === "number" ? job : job.id;
    await this.#connection.remove(`/projects/${this.id}/jobs/${id}`, options);
  }

  /** Deletes the jobs that wait; those fetched or ended stay. Gives their number. */
  async clearQueue(options: CallOptions = {}): Promise<number> {
    const answer: unknown = JSON.parse(await this.#connection.remove(`/projects/${this.id}/queue`, options));
    const deleted = typeof answer === "object" && answer !== null && "deleted" in answer ? answer.deleted : 0;
    return typeof deleted === "number" ? deleted : 0;
  }

  /** Creates a task, the kind that jobs name as theirs; `HttpError` 400 when the name is taken. */
  createTask(name: string, options: TaskOptions & CallOptions = {}): Promise<Task> {
    return this.#tasks.create(name, options, options);
  }

  tasks(options: CallOptions = {}): Promise<Task[]> {
    return this.#tasks.list(options);
  }

  getTask(nameOrId: string | number, options: CallOptions = {}): Promise<Task> {
    return typeof nameOrId === "number"
      ? this.#tasks.byId(nameOrId, options)
      : this.#tasks.byName(nameOrId, options);
  }

  /** Changes what is given of a task; the rest stays. */
  updateTask(id: number, change: TaskOptions & { name?: string | undefined } & CallOptions): Promise<Task> {
    return this.#tasks.update(id, change, change);
  }

  /** Deletes a task with its jobs. */
  deleteTask(id: number, options: CallOptions = {}): Promise<void> {
    return this.#tasks.delete(id, options);
  }
}

function wholeNumber(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 0) return value;
  throw new RangeError(`${name} must be a whole number from 0, got ${value}`);
}
