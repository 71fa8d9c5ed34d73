/**
 * Very many jobs through a short backlog, finished ones deleted soon: what a busy queue does in a week. What is kept
 * must be no more than what ends while it is to be kept, the tables and indexes must stop growing, and a claim must
 * cost the same at the end as early on.
 */
import { expect } from "bun:test";
import { DEFAULT_ENGINE_SETTINGS } from "../../src/engine/engine.ts";
import { LocalEngine } from "../../src/engine/localEngine.ts";
import type { Store, StoreReads } from "../../src/store/store.ts";
import { newJob } from "../engine/testEngine.ts";

const BATCH = 500;
const SUBMITTERS = 2;
const WORKERS = 3;
const MAX_BACKLOG = 5_000;
/** Jobs beyond the backlog that are being submitted or finished when it is looked. */
const MAX_UNDER_WAY = (SUBMITTERS + WORKERS) * BATCH;
const MAINTENANCE_MS = 100;
/** How far deletions may be behind: some rounds of upkeep on a busy machine. */
const MAX_DELAY_MS = 1_000;
const SAMPLE_MS = 20;
/** The run is looked at so many times; the first third is warm-up. */
const LOOKS = 30;
/** How much the last third may be above the second. */
const MAX_GROWTH = 1.25;
const MAX_CLAIM_GROWTH = 1.5;

export interface Churn {
  readonly store: Store;
  readonly reads: StoreReads;
  readonly jobs: number;
  readonly retainMs: number;
  /** Tables, indexes and what stands beside them. */
  readonly sizeMb: () => Promise<number>;
}

export interface Look {
  /** Finished jobs. */
  readonly jobs: number;
  readonly seconds: number;
  /** Jobs that are there, finished ones with them. */
  readonly kept: number;
  /** How many there may be, as fast as jobs end. */
  readonly mayKeep: number;
  readonly storeMb: number;
  readonly claimMs: number;
}

/** Runs the jobs and tells what was seen meanwhile. */
export async function churn({ store, reads, jobs, retainMs, sizeMb }: Churn): Promise<readonly Look[]> {
  const engine = new LocalEngine({
    store,
    reads,
    settings: { ...DEFAULT_ENGINE_SETTINGS, retainSucceededMs: retainMs, maintenanceMs: MAINTENANCE_MS },
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
      // How many had finished at each moment that still counts: what ended before the first one must be gone.
      const startedAt = performance.now();
      const moments = [{ at: startedAt, finished: 0 }];
      for (let number = 1; number <= LOOKS; ) {
        await Bun.sleep(SAMPLE_MS);
        const now = performance.now();
        moments.push({ at: now, finished });
        while ((moments[1]?.at ?? now) < now - retainMs - MAX_DELAY_MS) moments.shift();
        if (finished < (jobs * number) / LOOKS) continue;
        number++;
        const mayKeep = finished - (moments[0]?.finished ?? 0) + MAX_BACKLOG + MAX_UNDER_WAY;
        looks.push({
          jobs: finished,
          seconds: (now - startedAt) / 1_000,
          kept: await engine.read.count({}),
          mayKeep,
          storeMb: await sizeMb(),
          claimMs: claimTimes.toSorted((a, b) => a - b)[Math.floor(claimTimes.length / 2)] ?? 0,
        });
        claimTimes = [];
      }
    })();
    await Promise.all([...submitting, ...working, looking]);
    expect(finished).toBe(submitted);
    return looks;
  } finally {
    await engine.close();
  }
}

/** One line for who watches a long run. */
export function describeLook(look: Look): string {
  const { jobs, seconds, kept, mayKeep, storeMb, claimMs } = look;
  return (
    `${jobs} jobs after ${seconds.toFixed(1)} s: ${kept} kept of ${mayKeep} at the most, ` +
    `${Math.round(storeMb)} MiB, claim of ${BATCH} ${claimMs.toFixed(1)} ms`
  );
}

/** What is past its keep goes as fast as jobs end. */
export function expectDeleted(looks: readonly Look[]): void {
  for (const { jobs, kept, mayKeep } of looks) {
    expect(kept, `jobs kept after ${jobs} had finished`).toBeLessThan(mayKeep);
  }
}

/** Once warm, the store grows no more and claims take no longer. */
export function expectFlat(looks: readonly Look[]): void {
  const third = Math.ceil(LOOKS / 3);
  const most = (part: readonly Look[], value: (look: Look) => number) => Math.max(...part.map(value));
  const middle = looks.slice(third, 2 * third);
  const last = looks.slice(2 * third);
  expect(most(last, (look) => look.storeMb)).toBeLessThan(MAX_GROWTH * most(middle, (look) => look.storeMb));
  expect(most(last, (look) => look.claimMs)).toBeLessThan(
    MAX_CLAIM_GROWTH * most(middle, (look) => look.claimMs),
  );
}
