/**
 * The shapes of Yardmaster's own API, `/v1`, as they travel: JSON, camelCase, times as ISO 8601 UTC
 * strings, durations in milliseconds.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export type JobState =
  | "waiting"
  | "ready"
  | "leased"
  | "running"
  | "succeeded"
  | "failed"
  | "blocked"
  | "cancelled";
export type JobKind = "command" | "binary" | "script" | "training" | "inference" | "external";
export type Dialect = "yardmaster" | "whatsnext" | "executr" | "shelby" | "ai";
export type LogStream = "stdout" | "stderr" | "system";

export interface Resources {
  cpu: number;
  accelerators: number;
  memoryMb: number;
}

/** What a `command` job runs: an argument vector, or a task's template with the job's parameters. */
export interface CommandSpec {
  /** Program and arguments, each as it is: no shell reads them. */
  argv?: string[];
  /** Of a task job: the template as it was at submission. */
  template?: string;
  parameters?: JsonObject;
  env?: Record<string, string>;
  /** Working directory; null or absent is a fresh one of the job's own. */
  cwd?: string | null;
}

/** What a `binary` job runs: a program by its address and checksum. */
export interface BinarySpec {
  /** `http:`, `https:`, or `/v1/artifacts/` and a SHA-256 for an artifact of the server. */
  url: string;
  /** 64 hexadecimal digits in small letters; agents check it before every run. */
  sha256: string;
  args?: string[];
  /** All that the program finds besides `PATH`. */
  env?: Record<string, string>;
}

export interface Job {
  id: number;
  key: string;
  dialect: Dialect;
  kind: JobKind;
  queue: string;
  name: string;
  projectId: number | null;
  taskId: number | null;
  spec: JsonObject;
  priority: number;
  resources: Resources;
  labels: Record<string, string>;
  requires: Record<string, string>;
  dependsOn: number[];
  maxAttempts: number;
  maxRecoveries: number;
  timeoutMs: number | null;
  runAt: string | null;
  state: JobState;
  attempt: number;
  progress: number | null;
  result: Json;
  exitCode: number | null;
  error: string | null;
  workerId: string | null;
  createdAt: string;
  readyAt: string | null;
  startedAt: string | null;
  finishedAt: string | null;
  updatedAt: string;
}

export interface ClaimedJob extends Job {
  leaseExpiresAt: string;
}

/** What a `script` job runs: a Python script, uploaded as an artifact, with what it needs. */
export interface ScriptSpec {
  script: { sha256: string; bytes?: number };
  /** Name of the script in its folder; absent is `train.py`. */
  entrypoint?: string;
  /** What pip is to install, as in a `requirements.txt`. */
  requirements?: string;
  /** Downloaded before the script runs; a `hash` of 64 hexadecimal digits is verified. */
  dataset?: { name: string; url?: string | null; hash?: string | null } | null;
  runtimeMinutesEstimate?: number;
  meta?: JsonObject;
}

/** A job to submit. Either `spec` or `taskId` (with `parameters`) says what to run. */
export interface NewJob {
  kind?: JobKind;
  key?: string;
  queue?: string;
  name?: string;
  projectId?: number;
  spec?: CommandSpec | BinarySpec | ScriptSpec | JsonObject;
  taskId?: number;
  parameters?: JsonObject;
  priority?: number;
  resources?: Partial<Resources>;
  labels?: Record<string, string>;
  requires?: Record<string, string>;
  /** Ids, keys, or `"#0"`, `"#1"` … for earlier items of the same array. */
  dependsOn?: (number | string)[];
  maxAttempts?: number;
  /** Lost leases that are forgiven; 3 where `maxAttempts` is not given either, else 0. */
  maxRecoveries?: number;
  timeoutMs?: number | null;
  runAt?: string | null;
}

export interface JobPage {
  items: Job[];
  nextCursor: string | null;
  total: number;
}

export interface Attempt {
  number: number;
  workerId: string | null;
  workerAddress: string | null;
  startedAt: string | null;
  endedAt: string | null;
  outcome: "succeeded" | "failed" | "timeout" | "released" | "cancelled" | null;
  exitCode: number | null;
  error: string | null;
}

export interface JobDependencies {
  items: { id: number; key: string; name: string; state: JobState }[];
  allSucceeded: boolean;
  anyFailed: boolean;
}

export interface JobEvent {
  seq: number;
  time: string;
  from: JobState | null;
  to: JobState;
  attempt: number;
  reason: string;
}

export interface LogChunk {
  seq: number;
  time: string;
  stream: LogStream;
  text: string;
}

export interface LogPage {
  items: LogChunk[];
  /** Pass as `after` for what follows. */
  next: number;
}

export interface WorkerRegistration {
  id: string;
  name?: string;
  address?: string;
  capacity: Resources;
  labels?: Record<string, string>;
  /** `["*"]` is every queue. */
  queues?: string[];
  kinds?: JobKind[];
  /** Ed25519 public key by which the worker signs provenance: 32 bytes in base64. */
  publicKey?: string;
  machine?: Machine;
}

/** The machine that a worker runs on. */
export interface Machine {
  /** Such as `Linux`. */
  os: string;
  /** The distribution or release, such as `Ubuntu 20.04`. */
  platform: string;
  /** Model of the processors; null where the system does not tell it. */
  processor: string | null;
  cores: number;
  memoryMb: number;
  /** Its GPUs in the order of their indexes, also those that it gives to no job. */
  gpus: { name: string; memoryMb: number | null }[];
}

/** How busy a machine is, in percent. */
export interface MachineLoad {
  /** Of all processors, since it was told before. */
  cpuPercent: number;
  memoryPercent: number;
  /** Mean of its GPUs; null where it has none, or they do not tell. */
  gpuPercent: number | null;
}

export interface Worker {
  id: string;
  name: string;
  address: string | null;
  capacity: Resources;
  labels: Record<string, string>;
  queues: string[];
  kinds: JobKind[];
  /** Ed25519 public key by which it signs provenance; null when it has told none. */
  publicKey: string | null;
  /** Keys that it had before, the newest first; at most 20. */
  earlierPublicKeys: { publicKey: string; replacedAt: string }[];
  /** Null when it has told nothing of it. */
  machine: Machine | null;
  /** What it told last of how busy its machine is; null when it has told nothing. */
  load: (MachineLoad & { time: string }) | null;
  state: "online" | "draining" | "offline";
  registeredAt: string;
  lastSeenAt: string;
  runningJobs: number[];
  counts: { running: number; succeeded: number; failed: number };
}

export interface ClaimRequest {
  workerId: string;
  queues: string[];
  kinds: JobKind[];
  capacity: Resources;
  /** 1 to 500. */
  max: number;
  /** 0 to 60000. */
  waitMs: number;
}

export interface RenewRequest {
  workerId: string;
  leases: { id: number; attempt: number; progress?: number; started?: true }[];
}

export interface RenewAnswer {
  renewed: number[];
  lost: number[];
  cancelled: number[];
  leaseExpiresAt: string | null;
}

/**
 * `released`: given back unrun, nothing is counted. `lost`: the run was cut short by the worker's own
 * end (it was killed and has come back); treated like a lease that ran out.
 */
export type ResultOutcome = "succeeded" | "failed" | "released" | "lost";

/** Something to be kept with a job, such as `usage` or `provenance`. */
export interface NewRecord {
  kind: string;
  data: JsonObject;
}

export interface JobRecord extends NewRecord {
  seq: number;
  attempt: number;
  time: string;
}

/** A record of a job that the worker holds. */
export interface NewJobRecord extends NewRecord {
  id: number;
  attempt: number;
}

export interface JobResult {
  id: number;
  attempt: number;
  outcome: ResultOutcome;
  exitCode?: number | null;
  error?: string | null;
  result?: Json;
  /** When the process was started, where no renewal said `started` before. */
  startedAt?: string;
  /** Kept with the job if the result counts; at most 20. */
  records?: NewRecord[];
}

export interface ResultAnswer {
  id: number;
  accepted: boolean;
  reason?: string;
}

/** `seq` counts from 1 within one attempt of one job, over all streams; a chunk sent twice is kept once. */
export interface NewLogChunk extends LogChunk {
  id: number;
  attempt: number;
}

export interface Project {
  id: number;
  name: string;
  description: string | null;
  status: "ACTIVE" | "ARCHIVED";
  createdAt: string;
  updatedAt: string;
}

export interface Task {
  id: number;
  name: string;
  projectId: number | null;
  commandTemplate: string | null;
  requiredCpu: number;
  requiredAccelerators: number;
  requiredMemoryMb: number;
  createdAt: string;
  updatedAt: string;
}

export interface Stats {
  jobsByState: Record<JobState, number>;
  queues: { queue: string; jobsByState: Record<JobState, number> }[];
  workersByState: Record<"online" | "draining" | "offline", number>;
  /** Events a second over the last 1, 5 and 15 minutes. */
  rates: Record<"submitted" | "started" | "finished", { m1: number; m5: number; m15: number }>;
}

/** RFC 9457 problem details. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors?: { path: string; message: string }[];
}
