/**
 * Random sequences of everything that can happen to jobs, checked against what must always hold: no
 * illegal state, no job lost, none given twice under one lease, all counts right.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { countsChange, findCycle, pendingState, standingOf } from "../../src/domain/dependencies.ts";
import { isDomainError } from "../../src/domain/errors.ts";
import type { JobState } from "../../src/domain/job.ts";
import { isFinal, isHeld, isPending } from "../../src/domain/stateMachine.ts";
import { TestEngine } from "./testEngine.ts";

const WORKERS = ["a", "b", "c"] as const;

type Step =
  | {
      readonly do: "submit";
      readonly priority: number;
      readonly dependsOn: readonly number[];
      readonly delayMs: number;
      readonly maxAttempts: number;
    }
  | { readonly do: "claim"; readonly worker: string; readonly max: number }
  | { readonly do: "renew" | "start"; readonly pick: number }
  | {
      readonly do: "finish";
      readonly pick: number;
      readonly outcome: "succeeded" | "failed" | "released" | "lost";
    }
  | { readonly do: "late finish"; readonly pick: number }
  | { readonly do: "cancel" | "retry" | "remove"; readonly pick: number }
  | {
      readonly do: "edit";
      readonly pick: number;
      readonly state: EditedState | null;
      readonly dependsOn: readonly number[] | null;
    }
  | { readonly do: "release" | "heartbeat"; readonly worker: string }
  | { readonly do: "pass"; readonly ms: number }
  | { readonly do: "restart" };

const EDITED_STATES = ["waiting", "running", "succeeded", "failed"] as const;
type EditedState = (typeof EDITED_STATES)[number];

const anyPick = fc.nat(1_000);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("submit" as const),
      priority: fc.integer({ min: -2, max: 2 }),
      dependsOn: fc.array(anyPick, { maxLength: 3 }),
      delayMs: fc.constantFrom(0, 0, 0, 5_000),
      maxAttempts: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("claim" as const),
      worker: fc.constantFrom(...WORKERS),
      max: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom("renew" as const, "start" as const), pick: anyPick }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("finish" as const),
      pick: anyPick,
      outcome: fc.constantFrom(
        "succeeded" as const,
        "succeeded" as const,
        "failed" as const,
        "released" as const,
        "lost" as const,
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("late finish" as const), pick: anyPick }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("cancel" as const, "retry" as const, "remove" as const),
      pick: anyPick,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("edit" as const),
      pick: anyPick,
      state: fc.option(fc.constantFrom(...EDITED_STATES)),
      dependsOn: fc.option(fc.array(anyPick, { maxLength: 3 })),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("release" as const, "heartbeat" as const),
      worker: fc.constantFrom(...WORKERS),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(500, 4_000, 11_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);

interface Held {
  readonly id: number;
  readonly attempt: number;
  readonly worker: string;
}

/** What the callers of the engine know. */
class Model {
  readonly yard: TestEngine;
  readonly ids: number[] = [];
  readonly removed = new Set<number>();
  /** Claims that were given and not ended by their holder; the engine may have ended them. */
  held: Held[] = [];
  readonly ended: Held[] = [];
  readonly claimedAttempts = new Set<string>();

  constructor(yard: TestEngine) {
    this.yard = yard;
  }

  async run(step: Step): Promise<void> {
    const { yard } = this;
    switch (step.do) {
      case "submit": {
        const dependsOn = step.dependsOn.flatMap((pick) => {
          const id = this.ids[pick % Math.max(this.ids.length, 1)];
          return id === undefined || this.removed.has(id) ? [] : [{ job: id }];
        });
        const runAt = step.delayMs === 0 ? null : yard.now + step.delayMs;
        const { priority, maxAttempts } = step;
        const [job] = await yard.submit({ priority, dependsOn, runAt, maxAttempts, maxRecoveries: 1 });
        this.ids.push(job?.id ?? 0);
        return;
      }
      case "claim": {
        const before = await this.#readyInOrder();
        const jobs = await yard.claim(step.worker, { max: step.max });
        expect(jobs.map((job) => job.id)).toEqual(before.slice(0, step.max));
        for (const { id, attempt } of jobs) {
          const key = `${id}/${attempt}`;
          expect(this.claimedAttempts.has(key)).toBe(false);
          this.claimedAttempts.add(key);
          this.held.push({ id, attempt, worker: step.worker });
        }
        return;
      }
      case "renew":
      case "start": {
        const one = this.#pickHeld(step.pick);
        if (one !== undefined) await yard.renew(one.worker, one.id, one.attempt, step.do === "start");
        return;
      }
      case "finish": {
        const one = this.#pickHeld(step.pick);
        if (one === undefined) return;
        this.held = this.held.filter((other) => other !== one);
        this.ended.push(one);
        await yard.finish(one.worker, one.id, one.attempt, step.outcome);
        return;
      }
      case "late finish": {
        const one = this.ended[step.pick % Math.max(this.ended.length, 1)];
        if (one === undefined || this.removed.has(one.id)) return;
        const before = await yard.engine.read.job(one.id);
        await yard.finish(one.worker, one.id, one.attempt, "succeeded");
        expect(await yard.engine.read.job(one.id)).toEqual(before);
        return;
      }
      case "cancel":
      case "retry":
      case "remove":
        return this.#change(step.do, step.pick);
      case "edit":
        return this.#edit(step);
      case "heartbeat":
      case "release": {
        const known = (await yard.engine.read.workers()).some((worker) => worker.id === step.worker);
        if (!known) return;
        if (step.do === "heartbeat") await yard.engine.heartbeatWorker(step.worker);
        else await yard.engine.releaseWorker(step.worker);
        // It comes back at once, and its claims are served again.
        const capacity = { cpu: 1_000, accelerators: 0, memoryMb: 0 };
        await yard.engine.registerWorker({
          id: step.worker,
          name: step.worker,
          address: null,
          capacity,
          labels: {},
          queues: ["*"],
          kinds: ["command"],
          dialect: "yardmaster",
          details: {},
        });
        return;
      }
      case "pass":
        return yard.pass(step.ms);
      case "restart":
        return yard.restart();
    }
  }

  async #change(what: "cancel" | "retry" | "remove", pick: number): Promise<void> {
    const id = this.ids[pick % Math.max(this.ids.length, 1)];
    if (id === undefined || this.removed.has(id)) return;
    const { state } = await this.yard.engine.read.job(id);
    const isAllowed =
      what === "cancel" ? !isFinal(state) : what === "retry" ? isFinal(state) : !isHeld(state);
    try {
      if (what === "cancel") await this.yard.engine.cancel(id, null);
      else if (what === "retry") await this.yard.engine.retry(id);
      else {
        await this.yard.engine.remove(id);
        this.removed.add(id);
      }
      expect(isAllowed).toBe(true);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      expect(isAllowed).toBe(false);
    }
  }

  async #edit({ pick, state, dependsOn }: Extract<Step, { do: "edit" }>): Promise<void> {
    const id = this.ids[pick % Math.max(this.ids.length, 1)];
    if (id === undefined || this.removed.has(id)) return;
    const before = await this.yard.engine.read.job(id);
    const others = dependsOn?.flatMap((other) => this.ids[other % this.ids.length] ?? []);
    try {
      const after = await this.yard.engine.edit(id, {
        priority: pick % 3,
        ...(state === null ? {} : { state, workerId: "hand", leaseMs: 10_000 }),
        ...(others === undefined ? {} : { dependsOn: others }),
      });
      if (after.attempt > before.attempt) this.claimedAttempts.add(`${id}/${after.attempt}`);
      // A held job that is said to have failed is tried again while attempts are left.
      const isRetried = state === "failed" && isHeld(before.state) && after.state === "waiting";
      if (state !== null && state !== "waiting" && !isRetried) expect(after.state).toBe(state);
      expect(after.priority).toBe(pick % 3);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      expect(await this.yard.engine.read.job(id)).toEqual(before);
    }
    await this.#checkAcyclic();
  }

  async #checkAcyclic(): Promise<void> {
    const jobs = await this.#jobs();
    expect(findCycle(new Map(jobs.map((job) => [job.id, job.dependsOn])))).toBeNull();
  }

  #pickHeld(pick: number): Held | undefined {
    return this.held[pick % Math.max(this.held.length, 1)];
  }

  async #jobs() {
    return (await this.yard.engine.read.jobs({}, { order: "oldest", limit: 1_000, cursor: null })).items;
  }

  async #readyInOrder(): Promise<number[]> {
    return (await this.#jobs())
      .filter((job) => job.state === "ready")
      .sort((a, b) => b.priority - a.priority || a.id - b.id)
      .map((job) => job.id);
  }

  /** What must hold after every step. */
  async check(): Promise<void> {
    const jobs = await this.#jobs();
    const states = new Map(jobs.map((job) => [job.id, job.state]));
    expect(jobs.map((job) => job.id)).toEqual(this.ids.filter((id) => !this.removed.has(id)));
    const counts: Partial<Record<JobState, number>> = {};
    for (const job of jobs) {
      counts[job.state] = (counts[job.state] ?? 0) + 1;
      if (isPending(job.state)) {
        const need = { unmet: 0, doomed: 0 };
        for (const id of job.dependsOn) {
          // A dependency that was deleted keeps the standing it had: met, or lost for good.
          const standing = this.removed.has(id) ? undefined : standingOf(states.get(id) ?? null);
          if (standing === undefined) continue;
          const change = countsChange("met", standing);
          need.unmet += change.unmet;
          need.doomed += change.doomed;
        }
        const hasRemoved = job.dependsOn.some((id) => this.removed.has(id));
        const expected = pendingState({ ...need, runAt: job.runAt }, this.yard.now);
        // Upkeep makes due jobs ready when its round comes.
        const isDueSoon = job.state === "waiting" && expected === "ready" && job.runAt !== null;
        if (!hasRemoved && !isDueSoon) expect([job.id, job.state]).toEqual([job.id, expected]);
      }
      const events = await this.yard.engine.read.events(job.id, 0);
      expect(events.at(-1)?.to).toBe(job.state);
      for (const [index, event] of events.entries()) {
        expect(event.from).toBe(events[index - 1]?.to ?? null);
        if (event.from !== null && isFinal(event.from))
          expect(event.reason).toMatch(/retried by the user|by hand/);
      }
      const attempts = await this.yard.engine.read.attempts(job.id);
      expect(attempts.map((attempt) => attempt.number)).toEqual(attempts.map((_, index) => index + 1));
      expect(attempts.length).toBe(job.attempt);
      expect(attempts.filter((attempt) => attempt.outcome === null).length).toBe(isHeld(job.state) ? 1 : 0);
    }
    const { jobsByState } = await this.yard.engine.read.stats();
    for (const [state, count] of Object.entries(jobsByState)) {
      expect([state, count]).toEqual([state, counts[state as JobState] ?? 0]);
    }
    const held = (await this.yard.engine.read.workers()).flatMap((worker) => worker.runningJobs);
    expect([...held].sort((a, b) => a - b)).toEqual(
      jobs.filter((job) => isHeld(job.state)).map((job) => job.id),
    );
  }

  /** Work goes on until all is done: nothing is stuck or lost. */
  async drain(): Promise<void> {
    for (let round = 0; round < 200; round++) {
      await this.yard.pass(11_000);
      const jobs = await this.yard.claim("last");
      for (const job of jobs) await this.yard.finish("last", job.id, job.attempt, "succeeded");
      if (
        jobs.length === 0 &&
        (await this.#jobs()).every((job) => isFinal(job.state) || job.state === "blocked")
      )
        return;
    }
    throw new Error("jobs are stuck");
  }
}

test("whatever happens, in whatever order, every job has one legal fate", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 60 }), async (steps) => {
      const yard = await TestEngine.open();
      try {
        const model = new Model(yard);
        await yard.claim("hand");
        for (const step of steps) {
          await model.run(step);
          await model.check();
        }
        await model.drain();
        await model.check();
      } finally {
        await yard.dispose();
      }
    }),
    { numRuns: Number(process.env.YARDMASTER_TEST_MODEL_RUNS ?? 60) },
  );
}, 120_000);
