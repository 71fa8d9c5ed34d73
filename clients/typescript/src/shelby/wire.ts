/** The shapes of the ShelbyCompute API, field by field as it documents them. Times are Unix seconds. */

/** Any JSON object. */
export type JsonObject = Record<string, unknown>;

export type JobStatus = "pending" | "assigned" | "finished" | "failed" | "cancelled";

/** A job to create. */
export interface NewJob {
  /** An id of the caller's own; absent lets the server make one. */
  jobId?: string | undefined;
  datasetName: string;
  datasetUrl?: string | null | undefined;
  /** 64 hexadecimal digits of a SHA-256, with or without `sha256:`, are verified. */
  datasetHash?: string | null | undefined;
  /** Default 5. */
  runtimeMinutesEstimate?: number | undefined;
  meta?: JsonObject | undefined;
}

/** A job's script. */
export interface Script {
  script: string;
  /** As in a `requirements.txt`. */
  requirements?: string | undefined;
  /** Default `train.py`. */
  entrypoint?: string | undefined;
}

/** A job in lists and messages. */
export interface Job {
  jobId: string;
  status: JobStatus;
  datasetName: string;
  datasetUrl: string | null;
  meta: JsonObject;
  createdAt: number;
  assignedNode: string | null;
  startedAt: number | null;
  finishedAt: number | null;
  /** Seconds. */
  duration: number | null;
  modelHash: string | null;
  metadata: JsonObject | null;
}

export interface LogLine {
  line: string;
  timestamp: number;
}

/** A line in lists over all jobs. */
export interface JobLogLine {
  jobId: string;
  line: string;
  ts: number;
}

/** What a job's model was made of; agents of Yardmaster's add more, and sign it. */
export interface ProvenanceRecord {
  jobId: string;
  nodeId: string;
  modelHash: string;
  modelSizeBytes: number;
  durationSeconds: number;
  metadata: JsonObject;
  ts: number;
  [more: string]: unknown;
}

/** A job with its last log lines and its provenance. */
export interface JobDetail extends Job {
  logs: LogLine[];
  provenance: { record: ProvenanceRecord; createdAt: number }[];
}

export interface Dashboard {
  jobStats: Record<JobStatus | "total", number>;
  activeNodes: number;
  recentJobs: Job[];
  timestamp: number;
}

export interface SystemHealth {
  status: string;
  database: string;
  activeNodes: number;
  jobQueue: { pending: number; running: number; completed: number };
  timestamp: number;
}

export interface Node {
  nodeId: string;
  status: "active" | "inactive";
  lastSeen: number;
  /** Seconds. */
  lastSeenAgo: number;
  /** As the node gave them: `cpuUsage`, `ramUsage`, `totalRAM_GB`, `os`, `platform` and more. */
  specs: JsonObject;
}

export interface NodeStats {
  total: number;
  online: number;
  offline: number;
  totalGpus: number | null;
  activeJobs: number;
}

/** Null where nothing is known. */
export interface SystemStats {
  activeJobs: number;
  totalJobs: number;
  gpuUtilization: number | null;
  networkIO: number | null;
  creditsSpent: number | null;
  creditsPerHour: number | null;
}

/** What a job used; the lists belong together. */
export interface JobMetrics {
  duration: number | null;
  gpuUsage: (number | null)[];
  cpuUsage: number[];
  memoryUsage: number[];
  timestamps: number[];
}

export interface DebugJob {
  jobId: string;
  status: JobStatus;
  payload: Omit<OfferedJob, "dataset">;
  assigned: string | null;
  startedAt: number | null;
  finishedAt: number | null;
}

/** A node that registers. */
export interface NewNode {
  nodeId: string;
  specs: JsonObject;
  /** Default true. */
  containerSupported?: boolean | undefined;
  /** Secret by which the node signs its acknowledgements. */
  handshakeKey?: string | undefined;
  aptosPublicKey?: string | undefined;
}

/** A job as it is offered to a node that polls. */
export interface OfferedJob {
  jobId: string;
  datasetName: string;
  /** The same as `datasetName`. */
  dataset: string;
  datasetUrl: string | null;
  datasetHash: string | null;
  meta: JsonObject;
  createdAt: number;
}

/** How a job ended; with `metadata.error` it has failed. */
export interface Finish {
  nodeId: string;
  jobId: string;
  /** Empty when no model was made. */
  modelHash: string;
  modelSizeBytes: number;
  metadata: JsonObject;
  durationSeconds: number;
}

export interface UsageReport {
  nodeId: string;
  jobId: string;
  cpu_percent: number;
  ram_percent: number;
  gpu_percent?: number | undefined;
  ts: number;
}

/** A message of a live stream: first a `snapshot`, then changes; a `snapshot` may come again, and counts alone then. */
export interface LiveMessage {
  type: string;
  seq: number;
  time: number;
  data: unknown;
}
