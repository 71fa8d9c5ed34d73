/** The jobs that are measured, and the calls a worker makes, over one connection. */
import type { Connection } from "./connection.ts";
import { requestBytes } from "./connection.ts";

export const JOB = { spec: { argv: ["/bin/true"] } };

/** Bytes of a request that submits `count` jobs like `job`. */
export function submission(count: number, job: unknown = JOB): Uint8Array {
  const body = count === 1 ? job : Array.from({ length: count }, () => job);
  return requestBytes("POST", "/v1/jobs", JSON.stringify(body));
}

export interface Capacity {
  readonly cpu: number;
  readonly accelerators: number;
  readonly memoryMb: number;
}

export async function registerWorker(connection: Connection, id: string, capacity: Capacity): Promise<void> {
  await connection.json("POST", "/v1/workers", { id, capacity, queues: ["*"], kinds: ["command"] });
}

/** Bytes of a claim that does not wait. */
export function claim(workerId: string, max: number, capacity: Capacity): Uint8Array {
  const body = { workerId, queues: ["*"], kinds: ["command"], capacity, max, waitMs: 0 };
  return requestBytes("POST", "/v1/claims", JSON.stringify(body));
}

interface Claimed {
  readonly jobs: readonly { readonly id: number; readonly attempt: number }[];
}

/** Claims and reports all that was given with one outcome; returns how many there were. */
export async function claimAndReport(
  connection: Connection,
  workerId: string,
  claimBytes: Uint8Array,
  outcome: "succeeded" | "released",
): Promise<number> {
  return report(connection, workerId, await connection.request(claimBytes), outcome);
}

/** Reports all jobs of a claim's answer with one outcome; returns how many there were. */
export async function report(
  connection: Connection,
  workerId: string,
  claimAnswer: Buffer,
  outcome: "succeeded" | "released",
): Promise<number> {
  const claimed: Claimed = JSON.parse(claimAnswer.toString());
  if (claimed.jobs.length === 0) return 0;
  const results = claimed.jobs.map(({ id, attempt }) =>
    outcome === "succeeded" ? { id, attempt, outcome, exitCode: 0 } : { id, attempt, outcome },
  );
  await connection.request(requestBytes("POST", "/v1/results", JSON.stringify({ workerId, results })));
  return claimed.jobs.length;
}
