/** A job as ShelbyCompute's front ends and agents see it. */
import type { Job, JsonObject } from "../../domain/job.ts";
import { objectOr, specOf } from "./jobSpec.ts";
import { statusOf } from "./statuses.ts";
import { unixSeconds } from "./unixSeconds.ts";

/** For lists and for messages about one job. */
export function frontJob(job: Job) {
  const { datasetName, datasetUrl, meta } = specOf(job);
  const result = objectOr(job.result);
  const { assignedNode, startedAt, finishedAt } = assignmentOf(job);
  return {
    jobId: job.key,
    status: statusOf(job.state),
    datasetName,
    datasetUrl,
    meta,
    createdAt: unixSeconds(job.createdAt),
    assignedNode,
    startedAt,
    finishedAt,
    duration: durationOf(job),
    modelHash: typeof result.modelHash === "string" ? result.modelHash : null,
    metadata: metadataOf(job),
  };
}

/** For `GET /api/debug/jobs`. */
export function debugJob(job: Job) {
  const { datasetName, datasetUrl, datasetHash, meta } = specOf(job);
  const { assignedNode, startedAt, finishedAt } = assignmentOf(job);
  const createdAt = unixSeconds(job.createdAt);
  return {
    jobId: job.key,
    status: statusOf(job.state),
    payload: { jobId: job.key, datasetName, datasetUrl, datasetHash, meta, createdAt },
    assigned: assignedNode,
    startedAt,
    finishedAt,
  };
}

/** For agents that poll. */
export function offeredJob(job: Job) {
  const { datasetName, datasetUrl, datasetHash, meta } = specOf(job);
  const createdAt = unixSeconds(job.createdAt);
  return { jobId: job.key, datasetName, dataset: datasetName, datasetUrl, datasetHash, meta, createdAt };
}

/**
 * From start to end, as the difference of the seconds that are told; null as long as the job has not ended. To
 * ShelbyCompute's programs a job starts when its node has it.
 */
export function durationOf({ leasedAt, finishedAt }: Pick<Job, "leasedAt" | "finishedAt">): number | null {
  if (leasedAt === null || finishedAt === null) return null;
  return unixSeconds(finishedAt) - unixSeconds(leasedAt);
}

/** A job that was put back has a node and times of its last attempt, which are not those of a pending job. */
function assignmentOf(job: Job) {
  const isPending = statusOf(job.state) === "pending";
  const at = (ms: number | null) => (isPending || ms === null ? null : unixSeconds(ms));
  return {
    assignedNode: isPending ? null : job.workerId,
    startedAt: at(job.leasedAt),
    finishedAt: at(job.finishedAt),
  };
}

/** What the node said of its result. Of a job that ended without a word from its node, why it did. */
function metadataOf(job: Job): JsonObject | null {
  const { metadata } = objectOr(job.result);
  if (typeof metadata === "object" && metadata !== null && !Array.isArray(metadata)) return metadata;
  return job.error === null || job.finishedAt === null ? null : { error: job.error };
}
