/**
 * Workers of WhatsNext's API empty one queue while the server is killed again and again. No job may be given to two of
 * them at a time, and each must end COMPLETED, once, however many answers were lost.
 */
import { expect } from "bun:test";
import { Handouts } from "./handouts.ts";
import { WhatsNextWorker } from "./whatsnextWorker.ts";
import { Yard } from "./yard.ts";

const WORKERS = 64;
/** Short, so that what a vanished worker held comes back within the test. */
const LEASE_MS = 3_000;
const BATCH = 5_000;
const PAGE = 1_000;
const READERS = 16;
const HISTORY_TIMEOUT_MS = 5_000;

export interface WhatsNextRounds {
  readonly jobs: number;
  /** How often the server is killed, at even distances over the jobs. */
  readonly kills: number;
  readonly timeoutMs: number;
  /** A database that several servers share; absent is one server on a store of its own. */
  readonly shared?: { readonly url: string; readonly servers: number };
}

export async function whatsnextRounds({ jobs, kills, timeoutMs, shared }: WhatsNextRounds): Promise<void> {
  const servers = shared?.servers ?? 1;
  const yard = new Yard({
    serverFlags: ["--whatsnext-client-lease-ms", `${LEASE_MS}ms`],
    ...(shared === undefined ? {} : { storeUrl: shared.url, servers }),
  });
  const handouts = new Handouts(LEASE_MS);
  const stopping = new AbortController();
  const deadlineMs = performance.now() + timeoutMs;
  try {
    await Promise.all(Array.from({ length: servers }, (_, server) => yard.startServer(server)));
    const projectId = await fillQueue(yard.url, jobs);
    const options = {
      url: yard.url,
      projectId,
      handouts,
      heartbeatMs: LEASE_MS / 6,
      longJobMs: LEASE_MS * 1.3,
      mishaps: { isLong: everyTime(300), hangsUp: everyTime(37), vanishes: everyTime(190) },
      until: stopping.signal,
    };
    const workers = Array.from(
      { length: WORKERS },
      (_, seat) => new WhatsNextWorker({ ...options, url: yard.urlOf(seat % servers) }, `worker-${seat}`),
    );
    const working = Promise.all(workers.map((worker) => worker.run()));
    const killing = killServers(yard, handouts, { jobs, kills, deadlineMs, servers });
    await Promise.race([killing, working]);
    await Promise.race([handouts.reach(jobs, deadlineMs), working]);
    stopping.abort(new Error("all jobs are done"));
    await working.catch((error: unknown) => {
      if (error !== stopping.signal.reason) throw error;
    });
    expect(handouts.faults).toEqual([]);
    // Jobs of workers that vanished were given again.
    expect(handouts.count).toBeGreaterThan(jobs);
    await checkAll(yard, projectId, jobs);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error([text, ...(await historyOfFaults(yard, handouts)), yard.tail()].join("\n"), {
      cause: error,
    });
  } finally {
    stopping.abort(new Error("the test is over"));
    await yard.dispose();
  }
}

/** The first faults, each with what the server remembers of the job. */
async function historyOfFaults(yard: Yard, { faults }: Handouts): Promise<string[]> {
  const shown: string[] = [];
  for (const { job, text } of faults.slice(0, 5)) {
    const memory = job === null ? null : await historyOf(yard, job).catch(String);
    shown.push(`job ${job}: ${text} ${JSON.stringify(memory, null, 1)}`);
  }
  return shown;
}

async function historyOf(yard: Yard, job: number): Promise<unknown> {
  const options = { signal: AbortSignal.timeout(HISTORY_TIMEOUT_MS) };
  return {
    events: await yard.client.events(job, options),
    attempts: await yard.client.attempts(job, options),
  };
}

/** True each `count`th time that it is asked. */
function everyTime(count: number): () => boolean {
  let asked = 0;
  return () => ++asked % count === 0;
}

async function killServers(
  yard: Yard,
  handouts: Handouts,
  { jobs, kills, deadlineMs, servers }: { jobs: number; kills: number; deadlineMs: number; servers: number },
): Promise<void> {
  for (let kill = 1; kill <= kills; kill += 1) {
    await handouts.reach(Math.floor((jobs * kill) / (kills + 1)), deadlineMs);
    const server = kill % servers;
    await yard.killServer(server);
    await yard.startServer(server);
  }
}

async function fillQueue(url: string, count: number): Promise<number> {
  const post = async <T>(path: string, body: unknown): Promise<T> => {
    const response = await fetch(url + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.status !== 201) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return JSON.parse(await response.text());
  };
  const { id: projectId } = await post<{ id: number }>("/projects/", { name: "claims" });
  const { id: taskId } = await post<{ id: number }>("/tasks/", { name: "task", project_id: projectId });
  for (let at = 0; at < count; at += BATCH) {
    const size = Math.min(BATCH, count - at);
    const jobs = Array.from({ length: size }, (_, index) => ({ name: `job-${at + index}`, task_id: taskId }));
    await post(`/projects/${projectId}/jobs/batch`, { jobs });
  }
  return projectId;
}

async function checkAll(yard: Yard, projectId: number, count: number): Promise<void> {
  const ids: number[] = [];
  for (let skip = 0; skip <= count; skip += PAGE) {
    const answer = await fetch(`${yard.url}/jobs/?project_id=${projectId}&limit=${PAGE}&skip=${skip}`);
    const page: { id: number; status: string }[] = JSON.parse(await answer.text());
    for (const { id, status } of page) {
      expect([id, status]).toEqual([id, "COMPLETED"]);
      ids.push(id);
    }
  }
  expect(new Set(ids).size).toBe(count);
  const pending = ids.values();
  await Promise.all(
    Array.from({ length: READERS }, async () => {
      for (const id of pending) await checkHistory(yard, id);
    }),
  );
}

/** One end only, by the last of the attempts; each attempt before it was over when the next began. */
async function checkHistory(yard: Yard, id: number): Promise<void> {
  const events = await yard.client.events(id);
  const ends = events.filter((event) => event.to === "succeeded").length;
  const states = events.map((event) => event.to);
  const isHeldTwice = states.some((state, at) => state === "leased" && isHeld(states[at - 1]));
  expect([id, ends, isHeldTwice, states.at(-1)]).toEqual([id, 1, false, "succeeded"]);
}

function isHeld(state: string | undefined): boolean {
  return state === "leased" || state === "running";
}
