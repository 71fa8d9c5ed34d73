/** ShelbyCompute's documented calls, as its nodes and front ends make them, and a store filled with its jobs. */
import { newJobOf } from "../src/dialects/shelby/submission.ts";
import type { Engine } from "../src/engine/engine.ts";
import { openEngine } from "../src/engine/openEngine.ts";
import { requestBytes } from "./connection.ts";

/** Jobs in one call of the engine while a store is filled. */
const BATCH = 5_000;
const FILLING_NODE = "filling-node";
const SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const RESULT = {
  modelHash: `sha256:${SHA256}`,
  modelSizeBytes: 44_700_000,
  metadata: { accuracy: 0.93, epochs: 10 },
  durationSeconds: 300,
};

/** What a store holds before its server starts. */
export interface StoredJobs {
  /** The newest jobs: `pending-0` and on. */
  readonly pending: number;
  /** Older ones that a node has finished. */
  readonly finished: number;
}

/**
 * Fills a data folder that no server uses: the API creates jobs one by one, a million would take minutes. The
 * jobs are those that its own calls would make.
 */
export async function fillStore(dataDir: string, { pending, finished }: StoredJobs): Promise<void> {
  const engine = await openEngine({ dataDir });
  try {
    await submitAll(engine, "finished", finished);
    for (let left = finished; left > 0; ) left -= await finishSome(engine);
    await submitAll(engine, "pending", pending);
  } finally {
    await engine.close();
  }
}

async function submitAll(engine: Engine, name: string, count: number): Promise<void> {
  const spec = {
    datasetName: "MNIST Dataset",
    datasetUrl: "https://example.com/dataset",
    datasetHash: null,
    runtimeMinutesEstimate: 30,
    meta: { description: "Custom training job" },
    upload: {
      script: { sha256: SHA256, bytes: 2_000 },
      requirements: "torch>=1.9.0",
      entrypoint: "train.py",
    },
    lentBy: null,
  };
  for (let at = 0; at < count; at += BATCH) {
    const jobs = Array.from({ length: Math.min(BATCH, count - at) }, (_, index) =>
      newJobOf(`${name}-${at + index}`, spec, null),
    );
    await engine.submit({ jobs, idempotency: null });
  }
}

async function finishSome(engine: Engine): Promise<number> {
  const jobs = await engine.claim({
    workerId: FILLING_NODE,
    queues: ["*"],
    kinds: ["script"],
    capacity: { cpu: BATCH, accelerators: 0, memoryMb: 0 },
    max: 500,
    waitMs: 0,
    leaseMs: null,
    starts: true,
    registerAs: { dialect: "shelby", address: null },
  });
  if (jobs.length === 0) throw new Error("the engine gave no job to finish");
  const results = jobs.map(({ id, attempt }) => ({
    ...({ id, attempt, outcome: "succeeded", exitCode: null, error: null, startedAt: null } as const),
    result: { ...RESULT, artifact: null },
  }));
  await engine.finish({ workerId: FILLING_NODE, results });
  return jobs.length;
}

export function createJobBytes(jobId: string): Uint8Array {
  const body = {
    jobId,
    datasetName: "My Dataset",
    datasetUrl: "https://example.com/dataset",
    runtimeMinutesEstimate: 30,
    meta: { description: "Custom training job" },
  };
  return requestBytes("POST", "/api/jobs/create", JSON.stringify(body));
}

export function registerBytes(nodeId: string): Uint8Array {
  const specs = { cpuUsage: 45.2, ramUsage: 60.1, totalRAM_GB: 16, os: "Linux", platform: "Ubuntu 20.04" };
  return requestBytes("POST", "/api/nodes/register", JSON.stringify({ nodeId, specs }));
}

export function pollBytes(nodeId: string): Uint8Array {
  return requestBytes("GET", `/api/jobs/poll?nodeId=${nodeId}`, null);
}

/** The job that a poll's answer shows, null when it shows none. */
export function polledJobId(answer: Buffer): string | null {
  const { job }: { job: { jobId: string } | null } = JSON.parse(answer.toString());
  return job === null ? null : job.jobId;
}

export function acknowledgeBytes(nodeId: string, jobId: string): Uint8Array {
  return requestBytes("POST", "/api/jobs/ack", JSON.stringify({ nodeId, jobId }));
}

export function finishBytes(nodeId: string, jobId: string): Uint8Array {
  return requestBytes("POST", "/api/jobs/finish", JSON.stringify({ nodeId, jobId, ...RESULT }));
}

const LINE_MARK = "step ";

/** A line of a training's log that carries its number. */
export function logLineBytes(jobId: string, number: number): Uint8Array {
  const line = `${LINE_MARK}${number} of the training: loss 0.1234, accuracy 0.9301, 1250 samples/s`;
  return requestBytes("POST", "/api/jobs/stream-log", JSON.stringify({ job_id: jobId, line }));
}

/** The number in a message with such a line, null where the message has none. */
export function lineNumberOf(message: Buffer): number | null {
  const at = message.indexOf(LINE_MARK);
  return at < 0 ? null : Number.parseInt(message.toString("latin1", at + LINE_MARK.length, at + 20), 10);
}
