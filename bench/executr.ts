/** Executr's documented calls, as its executors and curl scripts make them. */
import { type Connection, requestBytes } from "./connection.ts";

/** Most jobs that the bulk call takes. */
export const BULK = 100;
const SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/** The document's example job. */
export const DOCUMENTED_JOB = {
  type: "data-processing",
  binary_url: "https://example.com/binary",
  binary_sha256: SHA256,
  arguments: ["arg1", "arg2"],
  env_variables: { KEY1: "value1", KEY2: "value2" },
  priority: "background",
};

export function submitBytes(): Uint8Array {
  return requestBytes("POST", "/api/v1/jobs", JSON.stringify(DOCUMENTED_JOB));
}

export function bulkBytes(count = BULK): Uint8Array {
  return requestBytes(
    "POST",
    "/api/v1/jobs/bulk",
    JSON.stringify(Array.from({ length: count }, () => DOCUMENTED_JOB)),
  );
}

/** Fills the queue through the bulk call, a few requests at a time. */
export async function fill(connections: readonly Connection[], count: number): Promise<void> {
  let left = count;
  await Promise.all(
    connections.map(async (connection) => {
      while (left > 0) {
        const size = Math.min(BULK, left);
        left -= size;
        await connection.request(bulkBytes(size));
      }
    }),
  );
}

export function claimBytes(executorId: string): Uint8Array {
  const body = { executor_id: executorId, executor_ip: "10.0.0.1" };
  return requestBytes("POST", "/api/v1/jobs/claim", JSON.stringify(body));
}

export function heartbeatBytes(jobId: string, executorId: string): Uint8Array {
  return requestBytes("PUT", `/api/v1/jobs/${jobId}/heartbeat`, JSON.stringify({ executor_id: executorId }));
}

export function completeBytes(jobId: string, executorId: string): Uint8Array {
  const body = { executor_id: executorId, stdout: "Job output...", stderr: "", exit_code: 0 };
  return requestBytes("PUT", `/api/v1/jobs/${jobId}/complete`, JSON.stringify(body));
}
