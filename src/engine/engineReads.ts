/** The reads that need nothing but the store. */
import { NotFoundError } from "../domain/errors.ts";
import type { Job } from "../domain/job.ts";
import type { ProjectStatus } from "../domain/project.ts";
import type { StoreReads } from "../store/store.ts";
import type { JobFilter, JobRef, JobTally, LogFilter, LogPage, Reads } from "./engine.ts";
import { decodePlace, encodePlace } from "./logPlace.ts";

/** Text in one page of a log, about. */
const LOG_PAGE_BYTES = 1024 * 1024;

export type StoreOnlyReads = Omit<Reads, "workers" | "worker" | "stats">;

export class EngineReads implements StoreOnlyReads {
  readonly #store: StoreReads;

  constructor(store: StoreReads) {
    this.#store = store;
  }

  async job(ref: Parameters<Reads["job"]>[0]): Promise<Job> {
    const isNamed = typeof ref === "object";
    const job = await (isNamed ? this.#store.findJob(ref.key, ref.dialect) : this.#store.findJob(ref));
    if (job === null) throw new NotFoundError("job", isNamed ? ref.key : ref);
    return job;
  }

  jobs(filter: JobFilter, page: Parameters<Reads["jobs"]>[1]) {
    return this.#store.listJobs(filter, page);
  }

  count(filter: Parameters<Reads["count"]>[0]) {
    return this.#store.count(filter);
  }

  async tallies({ dialect }: Parameters<Reads["tallies"]>[0]): Promise<readonly JobTally[]> {
    const groups = new Map<string, JobTally>();
    for (const row of await this.#store.tallies()) {
      if (dialect !== undefined && row.dialect !== dialect) continue;
      const { queue, kind, state } = row;
      const key = JSON.stringify([queue, kind, state]);
      groups.set(key, { queue, kind, state, count: row.count + (groups.get(key)?.count ?? 0) });
    }
    return [...groups.values()];
  }

  async attempts(ref: JobRef) {
    return this.#store.attempts((await this.job(ref)).id);
  }

  async dependencies(ref: JobRef) {
    return this.#store.dependencies((await this.job(ref)).id);
  }

  async events(ref: JobRef, after: number) {
    const events = await this.#store.events((await this.job(ref)).id);
    return events.filter((event) => event.seq > after);
  }

  async log(ref: JobRef, filter: LogFilter): Promise<LogPage> {
    // The state is read before the chunks: a final state then means that the chunks are all there are.
    const job = await this.job(ref);
    const stream = filter.stream ?? null;
    const latest = Math.max(job.attempt, 1);
    const after = filter.after === undefined ? null : decodePlace(filter.after);
    const fromAttempt = filter.attempt ?? after?.attempt ?? latest;
    const toAttempt = filter.attempt ?? latest;
    let start = after ?? { attempt: fromAttempt, seq: 0 };
    let skip = 0;
    if (filter.tailLines !== undefined && after === null) {
      const tail = await this.#store.logTail(job.id, fromAttempt, stream, filter.tailLines);
      if (tail !== null) {
        start = { attempt: fromAttempt, seq: tail.seq - 1 };
        skip = tail.skipCharacters;
      }
    }
    const page = await this.#store.logChunks(job.id, {
      fromAttempt,
      toAttempt,
      stream,
      after: start,
      maxBytes: LOG_PAGE_BYTES,
    });
    const items = page.items.map(({ attempt, ...chunk }, index) => ({
      ...chunk,
      seq: encodePlace({ attempt, seq: chunk.seq }),
      text: index === 0 && skip > 0 ? chunk.text.slice(skip) : chunk.text,
    }));
    const skipped = page.items[0]?.text.slice(0, skip) ?? "";
    // A chunk that was left out whole is not the first item.
    const isPartSkipped = skip > 0 && items[0]?.text !== "";
    return {
      items: items.filter((item) => item.text !== ""),
      ...(isPartSkipped ? { skippedLines: skipped.split("\n").length - 1 } : {}),
      next: items.at(-1)?.seq ?? encodePlace(start),
      isEnd: page.isEnd,
      state: job.state,
    };
  }

  async records(ref: JobRef, { kind, limit, order }: Parameters<Reads["records"]>[1]) {
    return this.#store.records((await this.job(ref)).id, { kind: kind ?? null, limit, order });
  }

  recentLog({ dialect, limit }: Parameters<Reads["recentLog"]>[0]) {
    return this.#store.recentLogChunks(dialect, limit);
  }

  document(collection: string, key: string) {
    return this.#store.findDocument(collection, key);
  }

  mentions(...place: Parameters<Reads["mentions"]>) {
    return this.#store.mentions(...place);
  }

  projects(filter: { status?: ProjectStatus; name?: string; limit: number; offset: number }) {
    return this.#store.listProjects(filter);
  }

  async project(id: number) {
    const project = await this.#store.findProject(id);
    if (project === null) throw new NotFoundError("project", id);
    return project;
  }

  tasks(filter: { projectId?: number; name?: string; limit: number; offset: number }) {
    return this.#store.listTasks(filter);
  }

  async task(id: number) {
    const task = await this.#store.findTask(id);
    if (task === null) throw new NotFoundError("task", id);
    return task;
  }

  dialectOfWorker(id: string) {
    return this.#store.dialectOfWorker(id);
  }

  ping(): Promise<void> {
    return this.#store.ping();
  }
}
