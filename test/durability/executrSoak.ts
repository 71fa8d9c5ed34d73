/**
 * Executors of Executr's API that work for minutes: each claims, heartbeats and completes, some jobs last longer than
 * a lease. No call may fail, no lease may be lost, no job be given twice, and the server's memory must stay flat.
 */
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { Yard } from "./yard.ts";

const HEARTBEAT_MS = 1_000;
const LEASE_MS = 3_000;
/** Most jobs do nothing; one in so many outlasts its lease. */
const LONG_EVERY = 50;
const LONG_MS = 4_000;
/** Pause of an executor after each job: about what 200 of them ask of a server. */
const PAUSE_MS = 50;
const QUEUED_AHEAD = 500;
const BULK = 100;
const MAX_RESIDENT_MB = 300;
/** Growth from the first third to the last that is still called flat. */
const MAX_GROWTH_MB = 60;

export interface ExecutrSoak {
  readonly executors: number;
  readonly durationMs: number;
}

interface Call {
  readonly status: number;
  readonly body: unknown;
}

export async function executrSoak({ executors, durationMs }: ExecutrSoak): Promise<void> {
  const yard = new Yard({ serverFlags: ["--executr-lease-ms", `${LEASE_MS}ms`] });
  const given = new Set<string>();
  const faults: string[] = [];
  let completed = 0;
  let open = 0;
  try {
    await yard.startServer();
    const pid = yard.serverPid;
    const call = async (method: string, path: string, body: unknown): Promise<Call> => {
      const answer = await fetch(`${yard.url}/api/v1${path}`, {
        method,
        headers: { "content-type": "application/json", "user-agent": "Go-http-client/1.1" },
        body: JSON.stringify(body),
      });
      const text = await answer.text();
      return { status: answer.status, body: text === "" ? null : JSON.parse(text) };
    };
    const expectStatus = (what: string, { status, body }: Call, wanted: number) => {
      if (status !== wanted) faults.push(`${what}: ${status} ${JSON.stringify(body)?.slice(0, 300)}`);
    };
    const endAt = performance.now() + durationMs;
    const isOver = () => performance.now() >= endAt || faults.length > 0;

    const executor = async (seat: number): Promise<void> => {
      const executor_id = `soak-${seat}`;
      while (!isOver()) {
        const claimed = await call("POST", "/jobs/claim", { executor_id, executor_ip: `host-${seat}` });
        if (claimed.status === 204) {
          await Bun.sleep(PAUSE_MS);
          continue;
        }
        expectStatus("claim", claimed, 200);
        const { id, attempts } = claimed.body as { id: string; attempts: readonly unknown[] };
        open--;
        if (given.has(id) || attempts.length !== 1) faults.push(`job ${id} was given twice`);
        given.add(id);
        const workMs = given.size % LONG_EVERY === 0 ? LONG_MS : 0;
        for (let leftMs = workMs; leftMs > 0; leftMs -= HEARTBEAT_MS) {
          await Bun.sleep(Math.min(HEARTBEAT_MS, leftMs));
          expectStatus("heartbeat", await call("PUT", `/jobs/${id}/heartbeat`, { executor_id }), 204);
        }
        const result = { executor_id, stdout: "x".repeat(given.size % 2_000), exit_code: 0 };
        expectStatus("complete", await call("PUT", `/jobs/${id}/complete`, result), 204);
        completed++;
        await Bun.sleep(PAUSE_MS);
      }
    };
    const submitter = async (): Promise<void> => {
      const job = {
        type: "soak",
        binary_url: "http://127.0.0.1:9/binary",
        binary_sha256: "ab".repeat(32),
        priority: "background",
      };
      while (!isOver()) {
        if (open >= QUEUED_AHEAD) {
          await Bun.sleep(PAUSE_MS / 5);
          continue;
        }
        open += BULK;
        const jobs = Array.from({ length: BULK }, () => job);
        expectStatus("bulk submit", await call("POST", "/jobs/bulk", jobs), 201);
      }
    };
    const residentMb: number[] = [];
    const watch = async (): Promise<void> => {
      while (!isOver()) {
        residentMb.push(residentOf(pid));
        await Bun.sleep(500);
      }
    };
    await Promise.all([
      submitter(),
      watch(),
      ...Array.from({ length: executors }, (_, seat) => executor(seat)),
    ]);

    expect(faults).toEqual([]);
    expect(completed).toBeGreaterThan(executors);
    const third = Math.ceil(residentMb.length / 3);
    const early = Math.max(...residentMb.slice(0, third));
    const late = Math.max(...residentMb.slice(-third));
    expect(late).toBeLessThan(MAX_RESIDENT_MB);
    expect(late - early).toBeLessThan(MAX_GROWTH_MB);
    const text = await (await fetch(`${yard.url}/metrics`)).text();
    expect(/^yardmaster_leases_lost_total (\d+)/m.exec(text)?.[1]).toBe("0");
    console.log(
      `${executors} executors, ${completed} jobs in ${Math.round(durationMs / 1_000)} s, ${Math.round(early)} MiB early, ${Math.round(late)} MiB late`,
    );
  } finally {
    await yard.dispose();
  }
}

function residentOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}
