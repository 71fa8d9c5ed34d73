/**
 * The process around a queue: takes commands as lines of JSON from its standard input, answers each with one line.
 * The same for all systems, so that they are given the same work in the same manner; it runs on Node.js and on Bun.
 */
import { createInterface } from "node:readline";
import { nowMs, type Queue } from "./queue.ts";

/** What a program can be told to do. Every command is answered before the next one is sent. */
export type Command =
  /** Adds jobs in batches, a few batches under way at a time. */
  | { readonly do: "addMany"; readonly jobs: number; readonly batch: number; readonly parallel: number }
  /** Adds one job after the other in each of `concurrency` loops. */
  | { readonly do: "addSingly"; readonly durationMs: number; readonly concurrency: number }
  /** Adds one job, waits `gapMs`, adds the next. */
  | { readonly do: "addPaced"; readonly jobs: number; readonly gapMs: number }
  /** Starts the worker. */
  | { readonly do: "work" }
  /** Waits until the worker has been given so many jobs in windows of `window`, after `skip` that do not count. */
  | { readonly do: "windows"; readonly skip: number; readonly window: number; readonly count: number }
  /** Waits until the worker was given `jobs` and none remains in the store. */
  | { readonly do: "drained"; readonly jobs: number }
  | { readonly do: "delays"; readonly jobs: number }
  | { readonly do: "remaining" }
  | { readonly do: "stop" }
  | { readonly do: "end" };

export interface Answer {
  readonly jobs?: number;
  readonly seconds?: number;
  /** Of each window. */
  readonly windowSeconds?: readonly number[];
  /** Of each job, in milliseconds. */
  readonly delays?: readonly number[];
  readonly error?: string;
}

/** Longest wait for jobs to arrive or to end. */
const WAIT_TIMEOUT_MS = 180_000;
const POLL_MS = 5;
const MAX_DELAYS = 10_000;
const MARK_JOBS = 1_000;

/** What one worker was given since it started. */
class Worked {
  count = 0;
  firstAtMs = 0;
  /** Of the first jobs: as many as are given while latencies are measured. */
  readonly delays: number[] = [];
  /** When so many jobs had been given, every `MARK_JOBS`. */
  readonly marks = new Map<number, number>();
  onJob(sentAtMs: number): void {
    this.count += 1;
    if (this.count === 1) this.firstAtMs = nowMs();
    if (this.delays.length < MAX_DELAYS) this.delays.push(nowMs() - sentAtMs);
    if (this.count % MARK_JOBS === 0) this.marks.set(this.count, nowMs());
  }
}

/** Serves commands until `end` or the end of the standard input. */
export async function serveCommands(queue: Queue): Promise<void> {
  let worked = new Worked();
  let stop: () => Promise<unknown> = async () => {};
  const run = async (command: Command): Promise<Answer> => {
    switch (command.do) {
      case "addMany":
        return addMany(queue, command.jobs, command.batch, command.parallel);
      case "addSingly":
        return addSingly(queue, command.durationMs, command.concurrency);
      case "addPaced":
        return addPaced(queue, command.jobs, command.gapMs);
      case "work": {
        const current = new Worked();
        worked = current;
        const worker = await queue.work(({ sentAtMs }) => current.onJob(sentAtMs));
        stop = () => worker.stop();
        return {};
      }
      case "windows": {
        const { skip, window, count } = command;
        await until(async () => worked.count >= skip + window * count);
        const at = (jobs: number): number => worked.marks.get(jobs) ?? Number.NaN;
        const windowSeconds = Array.from(
          { length: count },
          (_, index) => (at(skip + window * (index + 1)) - at(skip + window * index)) / 1_000,
        );
        return { windowSeconds };
      }
      case "drained":
        await until(async () => worked.count >= command.jobs);
        await until(async () => (await queue.remaining()) === 0);
        return { jobs: worked.count, seconds: (nowMs() - worked.firstAtMs) / 1_000 };
      case "delays":
        await until(async () => worked.count >= command.jobs);
        return { delays: worked.delays };
      case "remaining":
        return { jobs: await queue.remaining() };
      case "stop":
        await stop();
        stop = async () => {};
        return {};
      case "end":
        return {};
    }
  };
  const lines = createInterface({ input: process.stdin });
  for await (const line of lines) {
    const command: Command = JSON.parse(line);
    const answer = await run(command).catch((error: unknown): Answer => ({ error: String(error) }));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
    if (command.do === "end") break;
  }
  lines.close();
  await stop();
  await queue.close();
}

async function addMany(queue: Queue, jobs: number, batch: number, parallel: number): Promise<Answer> {
  const payloads = Array.from({ length: batch }, () => ({ sentAtMs: 0 }));
  let left = jobs;
  const startedAt = performance.now();
  const loop = async (): Promise<void> => {
    while (left > 0) {
      const count = Math.min(batch, left);
      left -= count;
      await queue.addMany(count === batch ? payloads : payloads.slice(0, count));
    }
  };
  await Promise.all(Array.from({ length: parallel }, loop));
  return { jobs, seconds: (performance.now() - startedAt) / 1_000 };
}

async function addSingly(queue: Queue, durationMs: number, concurrency: number): Promise<Answer> {
  let jobs = 0;
  const startedAt = performance.now();
  const loop = async (): Promise<void> => {
    while (performance.now() - startedAt < durationMs) {
      await queue.add({ sentAtMs: 0 });
      jobs += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return { jobs, seconds: (performance.now() - startedAt) / 1_000 };
}

async function addPaced(queue: Queue, jobs: number, gapMs: number): Promise<Answer> {
  for (let job = 0; job < jobs; job += 1) {
    await queue.add({ sentAtMs: nowMs() });
    await pause(gapMs);
  }
  return { jobs };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_TIMEOUT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not reached within ${WAIT_TIMEOUT_MS} ms`);
    await pause(POLL_MS);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
