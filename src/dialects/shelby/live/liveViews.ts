/** What the live streams show, in ShelbyCompute's words: the same objects that its HTTP answers hold. */
import type { Job, JobState } from "../../../domain/job.ts";

/** A node as front ends see it. */
export interface NodeView {
  readonly nodeId: string;
  /** Unix seconds. */
  readonly lastSeen: number;
  readonly lastSeenAgo: number;
}

export interface LiveViews {
  /** @throws NotFoundError for a job that is not one of this API */
  findJob(jobId: string): Promise<Job>;
  job(job: Job): unknown;
  status(state: JobState): string;
  dashboard(): Promise<object>;
  nodes(): Promise<readonly NodeView[]>;
}
