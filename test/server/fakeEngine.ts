/** An engine of a few lines, for tests of the HTTP side alone: one job, one worker, no rules. */

import { NotFoundError } from "../../src/domain/errors.ts";
import type { Job } from "../../src/domain/job.ts";
import type { Engine, EngineEvent, Histogram, NewJob, Reads } from "../../src/engine/engine.ts";

const T0 = Date.UTC(2026, 0, 31, 12, 0, 0);

/** A job with the given fields. */
export function aJob(fields: Partial<Job> = {}): Job {
  return {
    id: 1,
    key: "0199a7c2-0000-7000-8000-000000000001",
    dialect: "yardmaster",
    kind: "command",
    queue: "default",
    name: "echo",
    projectId: null,
    taskId: null,
    spec: { argv: ["echo", "hello"], env: { SECRET: "hunter2" } },
    priority: 0,
    resources: { cpu: 1, accelerators: 0, memoryMb: 0 },
    labels: {},
    requires: {},
    dependsOn: [],
    maxAttempts: 1,
    maxRecoveries: 3,
    timeoutMs: null,
    runAt: null,
    state: "ready",
    attempt: 0,
    progress: null,
    result: null,
    exitCode: null,
    error: null,
    workerId: null,
    createdAt: T0,
    readyAt: T0,
    leasedAt: null,
    startedAt: null,
    finishedAt: null,
    updatedAt: T0,
    ...fields,
  };
}

const histogram: Histogram = { bounds: [1, 10], counts: [2, 1, 1], count: 4, sum: 20 };
const noJobs = {
  waiting: 0,
  ready: 0,
  leased: 0,
  running: 0,
  succeeded: 0,
  failed: 0,
  blocked: 0,
  cancelled: 0,
};
const rate = { m1: 0, m5: 0, m15: 0 };

function unasked(): never {
  throw new Error("this test did not expect the engine to be asked");
}

/** What a test may put in place of the fake's own. */
export interface Overrides extends Partial<Omit<Engine, "read">> {
  readonly read?: Partial<Reads>;
}

export interface FakeEngine extends Engine {
  publish(events: readonly EngineEvent[]): void;
  readonly submitted: NewJob[];
  /** How many listen to events. */
  listeners(): number;
}

/** Takes every job, gives it the next id and knows job 1. */
export function fakeEngine(overrides: Overrides = {}): FakeEngine {
  const listeners = new Set<(events: readonly EngineEvent[]) => void>();
  const submitted: NewJob[] = [];
  const job = async (ref: number | string) => {
    if (ref === 1 || ref === aJob().key) return aJob();
    throw new NotFoundError("job", ref);
  };
  const read: Reads = {
    job,
    jobs: async () => ({ items: [aJob()], nextCursor: 35, total: 1 }),
    count: async () => 1,
    tallies: async () => [{ queue: "default", kind: "command", state: "ready", count: 7 }],
    attempts: (ref) => job(ref).then(() => []),
    dependencies: (ref) => job(ref).then(() => []),
    events: (ref) => job(ref).then(() => []),
    records: async () => [],
    recentLog: async () => [],
    mentions: async () => ({ sha256s: [], place: null }),
    document: async () => null,
    log: (ref) => job(ref).then(() => ({ items: [], next: 0, isEnd: true, state: "succeeded" })),
    workers: async () => [],
    worker: async (id) => {
      throw new NotFoundError("worker", id);
    },
    dialectOfWorker: async () => null,
    projects: async () => [],
    project: async (id) => {
      throw new NotFoundError("project", id);
    },
    tasks: async () => [],
    task: async (id) => {
      throw new NotFoundError("task", id);
    },
    stats: async () => ({
      jobsByState: noJobs,
      queues: [{ queue: "default", jobsByState: { ...noJobs, ready: 7 } }],
      workersByState: { online: 1, draining: 0, offline: 0 },
      rates: { submitted: rate, started: rate, finished: rate },
    }),
    ping: async () => {},
  };
  const { read: readOverrides, ...methods } = overrides;
  return {
    submitted,
    publish: (events) => {
      for (const listener of listeners) listener(events);
    },
    listeners: () => listeners.size,
    submit: async ({ jobs }) => {
      submitted.push(...jobs);
      return { jobs: jobs.map((_, index) => aJob({ id: index + 1 })), repeated: false };
    },
    claim: async () => [],
    renew: async () => ({ renewed: [], lost: [], cancelled: [], leaseExpiresAt: null }),
    finish: async ({ results }) => results.map(({ id }) => ({ id, accepted: true, reason: null })),
    appendLog: async ({ chunks }) => chunks.length,
    appendLines: async () => {},
    addRecords: async ({ records }) => records.length,
    putDocuments: async () => {},
    cancel: job,
    edit: job,
    removePending: async () => 0,
    heartbeatWorker: async (id) => {
      throw new NotFoundError("worker", id);
    },
    releaseWorker: async (id) => {
      throw new NotFoundError("worker", id);
    },
    deleteWorker: async (id) => {
      throw new NotFoundError("worker", id);
    },
    retry: job,
    remove: async (ref) => void (await job(ref)),
    registerWorker: unasked,
    describeWorker: read.worker,
    drainWorker: read.worker,
    createProject: async (project) => ({ ...project, id: 1, status: "ACTIVE", createdAt: T0, updatedAt: T0 }),
    updateProject: read.project,
    deleteProject: async (id) => void (await read.project(id)),
    createTask: async (task) => ({
      ...task,
      id: 1,
      resources: { cpu: 1, accelerators: 0, memoryMb: 0, ...task.resources },
      createdAt: T0,
      updatedAt: T0,
    }),
    updateTask: read.task,
    deleteTask: async (id) => void (await read.task(id)),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    figures: async () => ({
      byName: [],
      times: [],
      commitSize: histogram,
      commitSeconds: histogram,
      claimSeconds: histogram,
      waitSeconds: histogram,
      leasesLost: 3,
      queuedCommands: 0,
      queuedBytes: 0,
      storeBytes: 4096,
    }),
    close: async () => {},
    ...methods,
    read: { ...read, ...readOverrides },
  };
}
