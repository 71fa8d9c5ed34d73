/**
 * Kills servers and agents at random moments under load, and then looks at every job that was
 * acknowledged: each must have ended exactly once, with its whole output.
 */
import { expect } from "bun:test";
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Job } from "@yardmaster/client";
import { Yard } from "./yard.ts";

/** Each job prints its own number over two lines, with a pause that lets kills fall in between. */
const SCRIPT =
  'echo "begin $0"; echo "$YARDMASTER_JOB_ID $YARDMASTER_ATTEMPT" >> "$1"; sleep "$2"; echo "end $0" >&2; echo done';
const LINES_PER_JOB = 3;

type Victim = "server" | "agent" | "both" | "database" | "pause";
const VICTIMS: readonly Victim[] = ["server", "agent", "both"];
const SHARED_VICTIMS: readonly Victim[] = ["server", "database", "agent", "pause", "both"];
/** Longer than a lease. */
const PAUSE_MS = 3_000;

/** A database that several servers share; it is killed too. */
export interface SharedStore {
  readonly url: string;
  readonly servers: number;
  restart(): void;
}

/** @param shared absent is one server on a store of its own */
export async function killRounds(rounds: number, seed: number, shared?: SharedStore): Promise<void> {
  const random = makeRandom(seed);
  const servers = shared?.servers ?? 1;
  const yard = new Yard(shared === undefined ? {} : { storeUrl: shared.url, servers });
  const agentServer = (agent: string) => (agent === "agent-1" ? 0 : servers - 1);
  const runs = join(yard.dir, "runs");
  appendFileSync(runs, "");
  try {
    await Promise.all(Array.from({ length: servers }, (_, server) => yard.startServer(server)));
    yard.startAgent("agent-1", 4);
    yard.startAgent("agent-2", 2, { server: agentServer("agent-2") });

    const acknowledged = new Map<number, string>();
    let isOver = false;
    const submitting = Array.from({ length: 3 }, async (_, lane) => {
      for (let number = 0; !isOver; number++) {
        const mark = `${lane}-${number}`;
        const pause = (random() * 0.08).toFixed(3);
        const job = await yard.client.submit({
          spec: { argv: ["sh", "-c", SCRIPT, mark, runs, pause] },
          maxRecoveries: 20,
        });
        acknowledged.set(job.id, mark);
        await Bun.sleep(random() * 40);
      }
    });

    for (let round = 0; round < rounds; round++) {
      await Bun.sleep(100 + random() * 500);
      const victims = shared === undefined ? VICTIMS : SHARED_VICTIMS;
      const victim = victims[round % victims.length] ?? "both";
      const agent = random() < 0.5 ? "agent-1" : "agent-2";
      const server = Math.floor(random() * servers);
      if (victim === "database") shared?.restart();
      if (victim === "pause") await yard.pauseServer(server, PAUSE_MS);
      if (victim === "server" || victim === "both") await yard.killServer(server);
      if (victim === "agent" || victim === "both") await yard.kill(agent);
      await Bun.sleep(random() * 200);
      if (victim === "agent" || victim === "both") {
        yard.startAgent(agent, agent === "agent-1" ? 4 : 2, { server: agentServer(agent) });
      }
      if (victim === "server" || victim === "both") await yard.startServer(server);
    }
    isOver = true;
    await Promise.all(submitting);
    expect(acknowledged.size).toBeGreaterThan(rounds);
    await checkAll(yard, acknowledged, runs);
  } catch (error) {
    throw new Error(
      `seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n${yard.tail()}`,
      {
        cause: error,
      },
    );
  } finally {
    await yard.dispose();
  }
}

async function checkAll(yard: Yard, acknowledged: ReadonlyMap<number, string>, runs: string): Promise<void> {
  const started = new Map<string, number>();
  for (const [id, mark] of acknowledged) {
    const job = await yard.client.wait(id, { timeoutMs: 60_000 });
    expect([mark, job.state, job.error]).toEqual([mark, "succeeded", null]);
    await checkHistory(yard, job);
    await checkOutput(yard, job, mark);
  }
  for (const line of readFileSync(runs, "utf8").trim().split("\n")) {
    started.set(line, (started.get(line) ?? 0) + 1);
  }
  // No attempt ran twice, and the one that counts ran.
  for (const [run, count] of started) expect([run, count]).toEqual([run, 1]);
  const { total } = await yard.client.jobs({ limit: 1 });
  expect(total).toBe(acknowledged.size);
}

async function checkHistory(yard: Yard, job: Job): Promise<void> {
  const events = await yard.client.events(job.id);
  expect(events.filter((event) => event.to === "succeeded")).toHaveLength(1);
  const attempts = await yard.client.attempts(job.id);
  expect(
    attempts.filter((attempt) => attempt.outcome === "succeeded").map((attempt) => attempt.number),
  ).toEqual([job.attempt]);
}

async function checkOutput(yard: Yard, job: Job, mark: string): Promise<void> {
  const [out, err] = await Promise.all([
    yard.client.logText(job.id, { stream: "stdout" }),
    yard.client.logText(job.id, { stream: "stderr" }),
  ]);
  expect(out).toBe(`begin ${mark}\ndone\n`);
  expect(err).toBe(`end ${mark}\n`);
  expect((out + err).trim().split("\n")).toHaveLength(LINES_PER_JOB);
}

/** A small repeatable generator (mulberry32), so that a failing run can be run again. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
