/**
 * A worker: registers, takes jobs from a project's queue, runs them, and says how they ended.
 *
 * ```ts
 * const formatter = new CLIFormatter({ executable: "python", script: "process.py" });
 * const client = new Client({ entity: "team", name: "worker-1", project, formatter });
 * const count = await client.work();
 * ```
 */
import {
  atLeast,
  type CheckedClientOptions,
  type ClientOptions,
  checkClientOptions,
} from "./clientOptions.ts";
import type { CallOptions } from "./connection.ts";
import type { Formatter } from "./formatter.ts";
import { Heartbeat } from "./heartbeat.ts";
import { persist } from "./patience.ts";
import type { Project } from "./project.ts";
import type { JobResource } from "./runJob.ts";
import { onStopSignals } from "./stopSignals.ts";
import type { ClientWire, NewClientWire } from "./wire.ts";
import { WorkLoop } from "./workLoop.ts";

export interface WorkOptions {
  /** Pause before an empty queue is asked again; default 5,000. */
  pollIntervalMs?: number | undefined;
  /** Whether to stay when the queue is empty; default false. */
  runForever?: boolean | undefined;
  /** Whether to take only jobs that fit what is free here; default true. */
  useResourceFilter?: boolean | undefined;
  /** Whether SIGINT and SIGTERM are taken as `stop()`, the second of them as `stop({ kill: true })`; default true. */
  handleSignals?: boolean | undefined;
  /** Aborting is `stop()`. */
  signal?: AbortSignal | undefined;
}

export interface StopOptions {
  /** Ends the running jobs and puts them back in the queue, rather than waiting for their end. */
  kill?: boolean | undefined;
}

export class Client implements JobResource {
  readonly #options: CheckedClientOptions;
  #isRegistered = false;
  #loop: WorkLoop | null = null;

  /** @throws {TypeError | RangeError} naming the option that is wrong, and what is allowed */
  constructor(options: ClientOptions) {
    this.#options = checkClientOptions(options);
  }

  get id(): string {
    return this.#options.id;
  }
  get entity(): string {
    return this.#options.entity;
  }
  get name(): string {
    return this.#options.name;
  }
  get description(): string {
    return this.#options.description;
  }
  get project(): Project {
    return this.#options.project;
  }
  get formatter(): Formatter {
    return this.#options.formatter;
  }
  get availableCpu(): number {
    return this.#options.availableCpu;
  }
  get availableAccelerators(): number {
    return this.#options.availableAccelerators;
  }

  /** Makes the worker known to the server, or active again. `work` does it when nobody has. */
  async register(call: CallOptions = {}): Promise<void> {
    const { id, name, entity, description, availableCpu, availableAccelerators } = this.#options;
    const body: NewClientWire = {
      id,
      name,
      entity,
      description,
      available_cpu: availableCpu,
      available_accelerators: availableAccelerators,
    };
    await this.project.connection.post<ClientWire>("/clients/register", body, call);
    this.#isRegistered = true;
  }

  /** Tells the server that the worker lives. `work` does it all the time. */
  async heartbeat(call: CallOptions = {}): Promise<void> {
    await this.project.connection.post(`/clients/${this.id}/heartbeat`, undefined, call);
  }

  /** Leaves: the server gives jobs that this worker still holds to others. */
  async deactivate(call: CallOptions = {}): Promise<void> {
    this.#isRegistered = false;
    await this.project.connection.post(`/clients/${this.id}/deactivate`, undefined, call);
  }

  /**
   * Runs jobs until the queue has none for this worker, or for ever; then leaves. While the server is away, running
   * jobs go on and their outcomes are delivered later; with `runForever` the worker waits for it to come back.
   *
   * @returns how many jobs were run to an end, well or not
   * @throws {HttpError} when the server refuses the worker (a wrong key, a deleted project), after running jobs ended
   * @throws {ConnectionError} when the server is away and not to be waited for
   */
  async work(options: WorkOptions = {}): Promise<number> {
    if (this.#loop !== null) throw new Error(`client "${this.name}" works already: one work() at a time`);
    const loop = new WorkLoop(this, this.#options, {
      pollIntervalMs: atLeast(1, "pollIntervalMs", options.pollIntervalMs ?? 5_000),
      runForever: options.runForever ?? false,
      useResourceFilter: options.useResourceFilter ?? true,
    });
    this.#loop = loop;
    const onAbort = () => this.stop();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted) this.stop();
    let signalCount = 0;
    const releaseSignals =
      (options.handleSignals ?? true)
        ? onStopSignals((name) => {
            signalCount++;
            this.#options.log(`${name}: ${signalCount === 1 ? "finishing the running jobs" : "ending them"}`);
            this.stop({ kill: signalCount > 1 });
          })
        : () => {};
    try {
      if (!this.#isRegistered && !(await this.#enter(loop, options.runForever ?? false))) return 0;
      const heartbeat = new Heartbeat(this, this.#options);
      try {
        return await loop.run();
      } finally {
        await heartbeat.stop();
        await this.#leave();
      }
    } finally {
      releaseSignals();
      options.signal?.removeEventListener("abort", onAbort);
      this.#loop = null;
    }
  }

  /** Lets `work` end: no new jobs, the running ones to their end. Does nothing when it is not called. */
  stop({ kill = false }: StopOptions = {}): void {
    this.#loop?.stop(kill);
  }

  /** Registers; one that runs for ever waits for the server. False when it was stopped before. */
  async #enter(loop: WorkLoop, runForever: boolean): Promise<boolean> {
    const { stopping } = loop;
    const register = () => this.register({ signal: stopping });
    try {
      await persist(register, () => (runForever ? Number.POSITIVE_INFINITY : 0), stopping);
      return true;
    } catch (error) {
      if (stopping.aborted) return false;
      throw error;
    }
  }

  /** A server that is away learns of the leaving by the silence that follows. */
  async #leave(): Promise<void> {
    try {
      await this.deactivate();
    } catch (error) {
      this.#options.log(`client "${this.name}" could not say that it leaves: ${String(error)}`);
    }
  }
}
