/** Rows of the tables, and what they mean. */
import type { Attempt, AttemptOutcome, Job, JobEvent, Json, JsonObject } from "../domain/job.ts";
import type { Project, Task } from "../domain/project.ts";
import { dialectCode, kindCode, stateCode } from "./codes.ts";
import { type JobControl, MAX_LISTED_RESULT_LENGTH, type StoredShape, type StoredWorker } from "./store.ts";

export interface ControlRow {
  id: number;
  key: string | null;
  dialect: number;
  name: string;
  shape_id: number;
  project_id: number | null;
  max_attempts: number;
  max_recoveries: number;
  timeout_ms: number | null;
  backoff_ms: number | null;
  created_at: number;
  priority: number;
  state: number;
  unmet: number;
  doomed: number;
  attempt: number;
  spent: number;
  recoveries: number;
  run_at: number | null;
  worker_id: string | null;
  lease_ms: number | null;
  leased_at: number | null;
  started_at: number | null;
  finished_at: number | null;
  ready_at: number | null;
  updated_at: number;
  progress: number | null;
  exit_code: number | null;
  error: string | null;
}

export const CONTROL_COLUMNS = `
  id, key, dialect, name, shape_id, project_id, max_attempts, max_recoveries, timeout_ms, backoff_ms, created_at,
  priority, state, unmet, doomed, attempt, spent, recoveries, run_at, worker_id, lease_ms, leased_at,
  started_at, finished_at, ready_at, updated_at, progress, exit_code, error`;

export function toControl(row: ControlRow): JobControl {
  return {
    id: row.id,
    key: row.key ?? String(row.id),
    dialect: dialectCode.decode(row.dialect),
    name: row.name,
    shapeId: row.shape_id,
    projectId: row.project_id,
    maxAttempts: row.max_attempts,
    maxRecoveries: row.max_recoveries,
    timeoutMs: row.timeout_ms,
    backoffMs: row.backoff_ms,
    createdAt: row.created_at,
    priority: row.priority,
    state: stateCode.decode(row.state),
    unmet: row.unmet,
    doomed: row.doomed,
    attempt: row.attempt,
    spent: row.spent,
    recoveries: row.recoveries,
    runAt: row.run_at,
    workerId: row.worker_id,
    leaseMs: row.lease_ms,
    leasedAt: row.leased_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    readyAt: row.ready_at,
    updatedAt: row.updated_at,
    progress: row.progress,
    exitCode: row.exit_code,
    error: row.error,
  };
}

export interface JobRow {
  id: number;
  key: string | null;
  dialect: number;
  shape_id: number;
  name: string;
  project_id: number | null;
  task_id: number | null;
  spec: string;
  priority: number;
  labels: string | null;
  dependencies: number;
  max_attempts: number;
  max_recoveries: number;
  timeout_ms: number | null;
  run_at: number | null;
  state: number;
  attempt: number;
  progress: number | null;
  result: string | null;
  exit_code: number | null;
  error: string | null;
  worker_id: string | null;
  created_at: number;
  ready_at: number | null;
  leased_at: number | null;
  started_at: number | null;
  finished_at: number | null;
  updated_at: number;
}

export const JOB_COLUMNS = `
  id, key, dialect, shape_id, name, project_id, task_id, spec, priority, labels, dependencies, max_attempts,
  max_recoveries, timeout_ms, run_at, state, attempt, progress, result, exit_code, error, worker_id,
  created_at, ready_at, leased_at, started_at, finished_at, updated_at`;

/** The same for lists, which leave long results out. */
export const LISTED_COLUMNS = JOB_COLUMNS.replace(
  / result,/,
  ` CASE WHEN length(result) <= ${MAX_LISTED_RESULT_LENGTH} THEN result END AS result,`,
);

/** The columns of both rows, each once. */
export const BOTH_COLUMNS = [...new Set(`${CONTROL_COLUMNS}, ${JOB_COLUMNS}`.split(/[\s,]+/))]
  .filter((column) => column !== "")
  .join(", ");

const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});

export function toJob(row: JobRow, shape: StoredShape, dependsOn: readonly number[]): Job {
  return {
    id: row.id,
    key: row.key ?? String(row.id),
    dialect: dialectCode.decode(row.dialect),
    kind: shape.kind,
    queue: shape.queue,
    name: row.name,
    projectId: row.project_id,
    taskId: row.task_id,
    spec: readJson<JsonObject>(row.spec),
    priority: row.priority,
    resources: shape.resources,
    labels: row.labels === null ? NO_LABELS : readJson<Record<string, string>>(row.labels),
    requires: shape.requires,
    dependsOn,
    maxAttempts: row.max_attempts,
    maxRecoveries: row.max_recoveries,
    timeoutMs: row.timeout_ms,
    runAt: row.run_at,
    state: stateCode.decode(row.state),
    attempt: row.attempt,
    progress: row.progress,
    result: row.result === null ? null : readJson<Json>(row.result),
    exitCode: row.exit_code,
    error: row.error,
    workerId: row.worker_id,
    createdAt: row.created_at,
    readyAt: row.ready_at,
    leasedAt: row.leased_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    updatedAt: row.updated_at,
  };
}

export interface ShapeRow {
  id: number;
  queue: string;
  kind: number;
  cpu: number;
  accelerators: number;
  memory_mb: number;
  requires: string;
}

export function toShape(row: ShapeRow): StoredShape {
  return {
    shapeId: row.id,
    queue: row.queue,
    kind: kindCode.decode(row.kind),
    resources: { cpu: row.cpu, accelerators: row.accelerators, memoryMb: row.memory_mb },
    requires: readJson<Record<string, string>>(row.requires),
  };
}

/** One event as the `history` column holds it: JSON arrays, each followed by a comma. */
export function encodeEvent(event: Omit<JobEvent, "seq">): string {
  return `[${event.time},${stateCode.encode(event.to)},${event.attempt},${JSON.stringify(event.reason)}],`;
}

export function decodeHistory(history: string): JobEvent[] {
  const rows = readJson<[number, number, number, string][]>(`[${history.slice(0, -1)}]`);
  let from: JobEvent["from"] = null;
  return rows.map(([time, state, attempt, reason], index) => {
    const to = stateCode.decode(state);
    const event: JobEvent = { seq: index + 1, time, from, to, attempt, reason };
    from = to;
    return event;
  });
}

export interface WorkerRow {
  id: string;
  name: string;
  address: string | null;
  capacity: string;
  labels: string;
  queues: string;
  kinds: string;
  dialect: number;
  details: string;
  is_implicit: number;
  is_draining: number;
  registered_at: number;
  last_seen_at: number;
  succeeded: number;
  failed: number;
}

export function toWorker(row: WorkerRow): StoredWorker {
  return {
    id: row.id,
    name: row.name,
    address: row.address,
    capacity: readJson<StoredWorker["capacity"]>(row.capacity),
    labels: readJson<StoredWorker["labels"]>(row.labels),
    queues: readJson<StoredWorker["queues"]>(row.queues),
    kinds: readJson<StoredWorker["kinds"]>(row.kinds),
    dialect: dialectCode.decode(row.dialect),
    details: readJson<StoredWorker["details"]>(row.details),
    isImplicit: row.is_implicit === 1,
    isDraining: row.is_draining === 1,
    registeredAt: row.registered_at,
    lastSeenAt: row.last_seen_at,
    succeeded: row.succeeded,
    failed: row.failed,
  };
}

export interface ProjectRow {
  id: number;
  name: string;
  description: string | null;
  status: Project["status"];
  created_at: number;
  updated_at: number;
}

export function toProject(row: ProjectRow): Project {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    status: row.status,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export interface TaskRow {
  id: number;
  project_id: number | null;
  name: string;
  command_template: string | null;
  cpu: number;
  accelerators: number;
  memory_mb: number;
  created_at: number;
  updated_at: number;
}

export function toTask(row: TaskRow): Task {
  return {
    id: row.id,
    projectId: row.project_id,
    name: row.name,
    commandTemplate: row.command_template,
    resources: { cpu: row.cpu, accelerators: row.accelerators, memoryMb: row.memory_mb },
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** JSON that this store wrote itself: its shape is that of what was put in. */
export function readJson<T>(text: string): T {
  const value: T = JSON.parse(text);
  return value;
}

export interface AttemptRow {
  job_id: number;
  number: number;
  worker_id: string | null;
  worker_address: string | null;
  started_at: number | null;
  ended_at: number | null;
  outcome: AttemptOutcome;
  exit_code: number | null;
  error: string | null;
}

export function toAttempt(row: AttemptRow): Attempt {
  return {
    number: row.number,
    workerId: row.worker_id,
    workerAddress: row.worker_address,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    outcome: row.outcome,
    exitCode: row.exit_code,
    error: row.error,
  };
}
