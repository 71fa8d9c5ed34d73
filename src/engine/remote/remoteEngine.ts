/**
 * The engine as the server's thread sees it: commands go to the thread of the engine, reads to the one
 * that reads. So the server goes on parsing and answering requests while a commit waits for the disk.
 */
import { StoreUnavailableError } from "../../domain/errors.ts";
import type { Engine, EngineEvent, NewJob, Reads, SubmitReceipt, SubmitRequest } from "../engine.ts";
import { type Made, submittedJob } from "../submittedJob.ts";
import type { WireReceipt } from "./engineCalls.ts";
import type { RpcClient } from "./rpcClient.ts";

export class RemoteEngine implements Engine {
  readonly read: Reads;
  readonly #commands: RpcClient;
  readonly #reads: RpcClient;
  readonly #terminate: () => void;
  readonly #listeners = new Set<(events: readonly EngineEvent[]) => void>();

  /** @param options.writeFault why the store refuses writes, null while it takes them: the reading thread does not know */
  constructor(options: {
    commands: RpcClient;
    reads: RpcClient;
    writeFault: () => string | null;
    terminate: () => void;
  }) {
    this.#commands = options.commands;
    this.#reads = options.reads;
    this.#terminate = options.terminate;
    const { commands, reads } = options;
    this.read = {
      job: (...args) => reads.call("job", args),
      jobs: (...args) => reads.call("jobs", args),
      count: (...args) => reads.call("count", args),
      tallies: (...args) => reads.call("tallies", args),
      attempts: (...args) => reads.call("attempts", args),
      dependencies: (...args) => reads.call("dependencies", args),
      events: (...args) => reads.call("events", args),
      log: (...args) => reads.call("log", args),
      records: (...args) => reads.call("records", args),
      recentLog: (...args) => reads.call("recentLog", args),
      mentions: (...args) => reads.call("mentions", args),
      document: (...args) => reads.call("document", args),
      projects: (...args) => reads.call("projects", args),
      project: (...args) => reads.call("project", args),
      tasks: (...args) => reads.call("tasks", args),
      task: (...args) => reads.call("task", args),
      dialectOfWorker: (...args) => reads.call("dialectOfWorker", args),
      ping: async (...args) => {
        const reason = options.writeFault();
        if (reason !== null) throw new StoreUnavailableError(reason);
        await reads.call("ping", args);
      },
      workers: (...args) => commands.call("workers", args),
      worker: (...args) => commands.call("worker", args),
      stats: (...args) => commands.call("stats", args),
    };
  }

  /** Events from the engine's thread, for the listeners here. */
  deliver(events: readonly EngineEvent[]): void {
    for (const listener of this.#listeners) listener(events);
  }

  async submit(request: SubmitRequest): Promise<SubmitReceipt> {
    const receipt = await this.#commands.call<WireReceipt>("submit", [request]);
    if ("jobs" in receipt) return receipt;
    const { made, tasks = [] } = receipt;
    const taskOf = (job: NewJob) => tasks.find((task) => task.id === job.task?.id);
    return {
      jobs: request.jobs.map((job, index) => submittedJob(job, taskOf(job), made[index] as Made)),
      repeated: false,
      ...(tasks.length === 0 ? {} : { tasks }),
    };
  }
  claim(...[request, signal]: Parameters<Engine["claim"]>): ReturnType<Engine["claim"]> {
    return this.#commands.call("claim", [request], signal);
  }
  renew(...args: Parameters<Engine["renew"]>): ReturnType<Engine["renew"]> {
    return this.#commands.call("renew", args);
  }
  finish(...args: Parameters<Engine["finish"]>): ReturnType<Engine["finish"]> {
    return this.#commands.call("finish", args);
  }
  appendLog(...args: Parameters<Engine["appendLog"]>): ReturnType<Engine["appendLog"]> {
    return this.#commands.call("appendLog", args);
  }
  appendLines(...args: Parameters<Engine["appendLines"]>): ReturnType<Engine["appendLines"]> {
    return this.#commands.call("appendLines", args);
  }
  addRecords(...args: Parameters<Engine["addRecords"]>): ReturnType<Engine["addRecords"]> {
    return this.#commands.call("addRecords", args);
  }
  putDocuments(...args: Parameters<Engine["putDocuments"]>): ReturnType<Engine["putDocuments"]> {
    return this.#commands.call("putDocuments", args);
  }
  cancel(...args: Parameters<Engine["cancel"]>): ReturnType<Engine["cancel"]> {
    return this.#commands.call("cancel", args);
  }
  retry(...args: Parameters<Engine["retry"]>): ReturnType<Engine["retry"]> {
    return this.#commands.call("retry", args);
  }
  remove(...args: Parameters<Engine["remove"]>): ReturnType<Engine["remove"]> {
    return this.#commands.call("remove", args);
  }
  edit(...args: Parameters<Engine["edit"]>): ReturnType<Engine["edit"]> {
    return this.#commands.call("edit", args);
  }
  removePending(...args: Parameters<Engine["removePending"]>): ReturnType<Engine["removePending"]> {
    return this.#commands.call("removePending", args);
  }
  heartbeatWorker(...args: Parameters<Engine["heartbeatWorker"]>): ReturnType<Engine["heartbeatWorker"]> {
    return this.#commands.call("heartbeatWorker", args);
  }
  releaseWorker(...args: Parameters<Engine["releaseWorker"]>): ReturnType<Engine["releaseWorker"]> {
    return this.#commands.call("releaseWorker", args);
  }
  deleteWorker(...args: Parameters<Engine["deleteWorker"]>): ReturnType<Engine["deleteWorker"]> {
    return this.#commands.call("deleteWorker", args);
  }
  registerWorker(...args: Parameters<Engine["registerWorker"]>): ReturnType<Engine["registerWorker"]> {
    return this.#commands.call("registerWorker", args);
  }
  describeWorker(...args: Parameters<Engine["describeWorker"]>): ReturnType<Engine["describeWorker"]> {
    return this.#commands.call("describeWorker", args);
  }

  drainWorker(...args: Parameters<Engine["drainWorker"]>): ReturnType<Engine["drainWorker"]> {
    return this.#commands.call("drainWorker", args);
  }
  createProject(...args: Parameters<Engine["createProject"]>): ReturnType<Engine["createProject"]> {
    return this.#commands.call("createProject", args);
  }
  updateProject(...args: Parameters<Engine["updateProject"]>): ReturnType<Engine["updateProject"]> {
    return this.#commands.call("updateProject", args);
  }
  deleteProject(...args: Parameters<Engine["deleteProject"]>): ReturnType<Engine["deleteProject"]> {
    return this.#commands.call("deleteProject", args);
  }
  createTask(...args: Parameters<Engine["createTask"]>): ReturnType<Engine["createTask"]> {
    return this.#commands.call("createTask", args);
  }
  updateTask(...args: Parameters<Engine["updateTask"]>): ReturnType<Engine["updateTask"]> {
    return this.#commands.call("updateTask", args);
  }
  deleteTask(...args: Parameters<Engine["deleteTask"]>): ReturnType<Engine["deleteTask"]> {
    return this.#commands.call("deleteTask", args);
  }
  figures(): ReturnType<Engine["figures"]> {
    return this.#commands.call("figures", []);
  }

  subscribe(listener: (events: readonly EngineEvent[]) => void): () => void {
    this.#listeners.add(listener);
    // Events cross the threads only while somebody listens. A failure shows in the calls that follow.
    if (this.#listeners.size === 1) this.#commands.call("subscribe", []).catch(() => {});
    return () => {
      if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return;
      this.#commands.call("unsubscribe", []).catch(() => {});
    };
  }

  async close(): Promise<void> {
    await this.#commands.call("close", []);
    await this.#reads.call("close", []);
    this.#terminate();
  }
}
