/** WhatsNext's documented calls, as its workers and curl scripts make them, over one connection. */
import { type Connection, requestBytes } from "./connection.ts";

/** Jobs in one batch call while a queue is filled. */
const BATCH = 5_000;

export interface NewTask {
  readonly name: string;
  readonly required_cpu?: number;
  readonly required_accelerators?: number;
}

/** A project of its own with one task; more can be added with `createTask`. */
export async function createProject(connection: Connection, name: string): Promise<number> {
  const { id } = await connection.json<{ id: number }>("POST", "/projects/", {
    name,
    description: "measured",
  });
  return id;
}

/** A task without a template: its jobs are for WhatsNext's own clients. */
export async function createTask(connection: Connection, projectId: number, task: NewTask): Promise<number> {
  const { id } = await connection.json<{ id: number }>("POST", "/tasks/", { ...task, project_id: projectId });
  return id;
}

/** The document's example job. */
export function documentedJob(projectId: number, taskId: number, priority = 5): object {
  return {
    name: "experiment-001",
    project_id: projectId,
    task_id: taskId,
    parameters: { learning_rate: 0.01, epochs: 100, batch_size: 32 },
    priority,
    depends: {},
  };
}

/** Fills a queue through the batch call. */
export async function createJobs(
  connection: Connection,
  projectId: number,
  job: object,
  count: number,
): Promise<void> {
  const path = `/projects/${projectId}/jobs/batch`;
  const bytesFor = (size: number) =>
    requestBytes("POST", path, JSON.stringify({ jobs: Array.from({ length: size }, () => job) }));
  const whole = bytesFor(BATCH);
  let left = count;
  for (; left >= BATCH; left -= BATCH) await connection.request(whole);
  if (left > 0) await connection.request(bytesFor(left));
}

/** @param filter what the worker has free; 0 does not filter */
export function fetchJob(
  projectId: number,
  filter: { cpu: number; accelerators: number } | null,
): Uint8Array {
  const query =
    filter === null ? "" : `?available_cpu=${filter.cpu}&available_accelerators=${filter.accelerators}`;
  return requestBytes("GET", `/projects/${projectId}/fetch_job${query}`, null);
}

/** A job as `fetch_job` gives it. */
export interface FetchedJob {
  readonly id: number;
}

/** The job of a fetch's answer, null when there was none. */
export function jobOf(answer: Buffer): FetchedJob | null {
  const { job }: { job: FetchedJob | null } = JSON.parse(answer.toString());
  return job;
}

/** Reports on a job as the existing library does: with the whole object. */
export function updateJob(job: FetchedJob, status: "RUNNING" | "COMPLETED"): Uint8Array {
  return requestBytes("PUT", `/jobs/${job.id}`, JSON.stringify({ ...job, status }));
}
