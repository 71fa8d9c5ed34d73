/**
 * Very many jobs through a short backlog on PostgreSQL, finished ones deleted soon: what a busy queue does in a
 * week. The tables and indexes must stop growing, and a claim must cost the same at the end as early on.
 */
import { expect } from "bun:test";
import { DEFAULT_ENGINE_SETTINGS } from "../../src/engine/engine.ts";
import { LocalEngine } from "../../src/engine/localEngine.ts";
import { PostgresReads } from "../../src/store/postgres/postgresReads.ts";
import { PostgresStore } from "../../src/store/postgres/postgresStore.ts";
import { newJob } from "../engine/testEngine.ts";
import type { Cluster } from "../postgres/cluster.ts";

const BATCH = 500;
const SUBMITTERS = 2;
const WORKERS = 3;
const MAX_BACKLOG = 5_000;
const RETAIN_MS = 3_000;
/** The run is looked at so many times; the first third is warm-up. */
const LOOKS = 30;
/** How much the last third may be above the second. */
const MAX_GROWTH = 1.5;

interface Look {
  readonly jobs: number;
  /** Jobs that are there, finished ones with them. */
  readonly kept: number;
  readonly storeMb: number;
  readonly claimMs: number;
}

export async function churn(cluster: Cluster, jobs: number): Promise<void> {
  const url = await cluster.newDatabase();
  const database = new URL(url).pathname.slice(1);
  const engine = new LocalEngine({
    store: await PostgresStore.open({ url, patienceMs: 20_000 }),
    reads: new PostgresReads({ url, patienceMs: 20_000 }),
    settings: { ...DEFAULT_ENGINE_SETTINGS, retainSucceededMs: RETAIN_MS, maintenanceMs: 100 },
  });
  await engine.start();
  try {
    let submitted = 0;
    let finished = 0;
    let claimTimes: number[] = [];
    const looks: Look[] = [];
    const batch = Array.from({ length: BATCH }, () => newJob());
    const submitting = Array.from({ length: SUBMITTERS }, async () => {
      while (submitted < jobs) {
        if (submitted - finished > MAX_BACKLOG) {
          await Bun.sleep(2);
          continue;
        }
        submitted += BATCH;
        await engine.submit({ jobs: batch, idempotency: null });
      }
    });
    const working = Array.from({ length: WORKERS }, async (_, number) => {
      const workerId = `worker-${number}`;
      while (finished < jobs) {
        const startedAt = performance.now();
        const claimed = await engine.claim({
          workerId,
          queues: ["*"],
          kinds: ["command"],
          capacity: { cpu: 100_000, accelerators: 0, memoryMb: 0 },
          max: BATCH,
          waitMs: 0,
          leaseMs: 30_000,
        });
        if (claimed.length === 0) {
          await Bun.sleep(2);
          continue;
        }
        if (claimed.length === BATCH) claimTimes.push(performance.now() - startedAt);
        const rest = { exitCode: 0, error: null, result: null, startedAt: null };
        const results = claimed.map(({ id, attempt }) => ({
          id,
          attempt,
          outcome: "succeeded" as const,
          ...rest,
        }));
        const answers = await engine.finish({ workerId, results });
        finished += answers.filter((answer) => answer.accepted).length;
      }
    });
    const looking = (async () => {
      for (let number = 1; number <= LOOKS; number++) {
        while (finished < (jobs * number) / LOOKS) await Bun.sleep(50);
        looks.push({
          jobs: finished,
          kept: await engine.read.count({}),
          storeMb: await storeMb(cluster, database),
          claimMs: claimTimes.toSorted((a, b) => a - b)[Math.floor(claimTimes.length / 2)] ?? 0,
        });
        claimTimes = [];
      }
    })();
    const startedAt = performance.now();
    await Promise.all([...submitting, ...working, looking]);
    const seconds = (performance.now() - startedAt) / 1_000;
    for (const look of looks) {
      console.log(
        `${look.jobs} jobs: ${look.kept} kept, ${Math.round(look.storeMb)} MiB, claim of ${BATCH} ${look.claimMs.toFixed(1)} ms`,
      );
    }
    console.log(`${Math.round(jobs / seconds)} jobs/s over ${Math.round(seconds)} s`);
    const third = Math.ceil(LOOKS / 3);
    const most = (part: readonly Look[], value: (look: Look) => number) => Math.max(...part.map(value));
    const middle = looks.slice(third, 2 * third);
    const last = looks.slice(2 * third);
    expect(most(last, (look) => look.storeMb)).toBeLessThan(
      MAX_GROWTH * most(middle, (look) => look.storeMb),
    );
    expect(most(last, (look) => look.claimMs)).toBeLessThan(
      MAX_GROWTH * most(middle, (look) => look.claimMs),
    );
    expect(finished).toBe(submitted);
  } finally {
    await engine.close();
  }
}

/** Tables, indexes and what stands beside them. */
async function storeMb(cluster: Cluster, database: string): Promise<number> {
  const [row] = await cluster.ask(
    database,
    `SELECT sum(pg_total_relation_size(oid))::float8 AS bytes FROM pg_class
     WHERE relnamespace = 'yardmaster'::regnamespace AND relkind = 'r'`,
  );
  return Number(row?.bytes ?? 0) / 1024 ** 2;
}
