/** Our values as Executr writes them: times as RFC 3339 in UTC, and nothing for what there is not. */
import type { Attempt, Job, Json } from "../../domain/job.ts";
import { isFinal } from "../../domain/stateMachine.ts";
import type { Role } from "../route.ts";
import { attemptStatusOf, priorityOf, statusOf } from "./statuses.ts";

/** Milliseconds as `2024-01-01T12:00:00.000Z`. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}

function timeOrAbsent(ms: number | null): string | undefined {
  return ms === null ? undefined : timestamp(ms);
}

/** Stands for values that the caller's role does not see. */
const MASK = "***";

/**
 * A job as readers see it. Values of variables may be secrets: of those who have a key the role `admin` alone sees them. A server
 * without keys shows them to everybody, as the API's own programs expect.
 */
export function asSeenBy<Row extends { readonly env_variables: Json }>(role: Role, row: Row) {
  const isShown = role === "admin" || role === "anonymous";
  return isShown ? row : { ...row, env_variables: masked(row.env_variables) };
}

function masked(variables: Json): Json {
  if (variables === null || typeof variables !== "object" || Array.isArray(variables)) return MASK;
  return Object.fromEntries(Object.keys(variables).map((name) => [name, MASK]));
}

/** What a job printed. */
export interface Outputs {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A job without its outputs and attempts. Fields that are undefined are not written.
 *
 * @param heardAt when its executor was last heard from; only what runs has that
 */
export function jobToRow(job: Job, heardAt: number | null) {
  const status = statusOf(job.state);
  // What an earlier attempt left shows among the attempts.
  const wasRun = status === "running" || status === "completed" || status === "failed";
  const finishedAt = isFinal(job.state) ? job.finishedAt : null;
  return {
    id: job.key,
    type: job.name,
    binary_url: job.spec.url,
    binary_sha256: job.spec.sha256,
    arguments: job.spec.args ?? [],
    env_variables: job.spec.env ?? {},
    priority: priorityOf(job.queue) ?? "background",
    status,
    executor_id: wasRun ? (job.workerId ?? undefined) : undefined,
    exit_code: wasRun && finishedAt !== null ? (job.exitCode ?? undefined) : undefined,
    error_message: finishedAt === null ? undefined : (job.error ?? undefined),
    created_at: timestamp(job.createdAt),
    started_at: wasRun ? timeOrAbsent(job.startedAt) : undefined,
    completed_at: timeOrAbsent(finishedAt),
    last_heartbeat: wasRun ? timeOrAbsent(status === "running" ? heardAt : finishedAt) : undefined,
  };
}

/** A job whole. @param outputs null while it is not finished */
export function jobToWire(
  job: Job,
  known: {
    readonly attempts: readonly Attempt[];
    readonly outputs: Outputs | null;
    readonly heardAt: number | null;
  },
) {
  return {
    ...jobToRow(job, known.heardAt),
    stdout: known.outputs?.stdout,
    stderr: known.outputs?.stderr,
    attempts: known.attempts.flatMap(attemptToWire),
  };
}

function attemptToWire(attempt: Attempt) {
  const status = attemptStatusOf(attempt.outcome);
  if (status === null || attempt.workerId === null) return [];
  return [
    {
      executor_id: attempt.workerId,
      executor_ip: attempt.workerAddress ?? undefined,
      started_at: timeOrAbsent(attempt.startedAt),
      ended_at: timeOrAbsent(attempt.endedAt),
      status,
      exit_code: attempt.exitCode ?? undefined,
      error_message: attempt.error ?? undefined,
    },
  ];
}
