/** The tasks of one project: what kinds of jobs it has and what each needs. */
import type { CallOptions, Connection } from "./connection.ts";
import { HttpError } from "./errors.ts";
import type { ChangedWire, TaskWire } from "./wire.ts";

export interface Task {
  readonly id: number;
  readonly name: string;
  /** `python train.py --lr {lr}`; null leaves its jobs to WhatsNext clients. */
  readonly commandTemplate: string | null;
  readonly requiredCpu: number;
  readonly requiredAccelerators: number;
}

export interface TaskOptions {
  commandTemplate?: string | null | undefined;
  requiredCpu?: number | undefined;
  requiredAccelerators?: number | undefined;
}

/** A task is looked up again after this long, so that a changed requirement is noticed. */
const MAX_AGE_MS = 60_000;
const PAGE_SIZE = 1_000;

/** Looks tasks up by name and by id, and remembers them for a minute. */
export class Tasks {
  readonly #connection: Connection;
  readonly #projectId: number;
  readonly #known = new Map<string | number, { task: Task; readAtMs: number }>();

  constructor(connection: Connection, projectId: number) {
    this.#connection = connection;
    this.#projectId = projectId;
  }

  async create(name: string, options: TaskOptions, call: CallOptions): Promise<Task> {
    const body = { name, project_id: this.#projectId, ...wireOptions(options) };
    return this.#remember(await this.#connection.create<TaskWire>("/tasks/", body, call));
  }

  async list(call: CallOptions): Promise<Task[]> {
    const tasks: Task[] = [];
    for (;;) {
      const query = { project_id: this.#projectId, limit: PAGE_SIZE, skip: tasks.length };
      const page = await this.#connection.read<TaskWire[]>("/tasks/", query, call);
      tasks.push(...page.map((task) => this.#remember(task)));
      if (page.length < PAGE_SIZE) return tasks;
    }
  }

  async byName(name: string, call: CallOptions): Promise<Task> {
    const known = this.#fresh(name);
    if (known !== null) return known;
    const path = `/tasks/name/${encodeURIComponent(name)}`;
    return this.#remember(await this.#connection.read<TaskWire>(path, { project_id: this.#projectId }, call));
  }

  async byId(id: number, call: CallOptions): Promise<Task> {
    return this.#fresh(id) ?? this.#remember(await this.#connection.read<TaskWire>(`/tasks/${id}`, {}, call));
  }

  async update(id: number, options: TaskOptions & { name?: string | undefined }, call: CallOptions) {
    const body = { name: options.name, ...wireOptions(options) };
    this.#known.clear();
    return this.#remember(
      (await this.#connection.change<ChangedWire<TaskWire>>(`/tasks/${id}`, body, call)).data,
    );
  }

  async delete(id: number, call: CallOptions): Promise<void> {
    this.#known.clear();
    await this.#connection.remove(`/tasks/${id}`, call);
  }

  /**
   * Runs `send` with the ids of the named tasks. A remembered id may be that of a task deleted since; the server
   * refuses it and does nothing, so the names are looked up again and `send` runs once more.
   */
  async withIds<T>(
    names: readonly string[],
    call: CallOptions,
    send: (ids: ReadonlyMap<string, number>) => Promise<T>,
  ): Promise<T> {
    const isRemembered = names.some((name) => this.#fresh(name) !== null);
    const ids = await this.#idsOf(names, call);
    try {
      return await send(ids);
    } catch (error) {
      const isRefused = error instanceof HttpError && (error.status === 400 || error.status === 404);
      if (!isRefused || !isRemembered) throw error;
      this.#known.clear();
      const idsNow = await this.#idsOf(names, call);
      if ([...idsNow].every(([name, id]) => ids.get(name) === id)) throw error;
      return send(idsNow);
    }
  }

  async #idsOf(names: readonly string[], call: CallOptions): Promise<Map<string, number>> {
    const ids = new Map<string, number>();
    for (const name of new Set(names)) ids.set(name, (await this.byName(name, call)).id);
    return ids;
  }

  #fresh(key: string | number): Task | null {
    const known = this.#known.get(key);
    return known !== undefined && Date.now() - known.readAtMs < MAX_AGE_MS ? known.task : null;
  }

  #remember(wire: TaskWire): Task {
    const task: Task = {
      id: wire.id,
      name: wire.name,
      commandTemplate: wire.command_template,
      requiredCpu: wire.required_cpu ?? 0,
      requiredAccelerators: wire.required_accelerators ?? 0,
    };
    const entry = { task, readAtMs: Date.now() };
    this.#known.set(task.id, entry);
    this.#known.set(task.name, entry);
    return task;
  }
}

/** Only what was given: JSON leaves out what is undefined. */
function wireOptions(options: TaskOptions) {
  return {
    command_template: options.commandTemplate,
    required_cpu: options.requiredCpu,
    required_accelerators: options.requiredAccelerators,
  };
}
