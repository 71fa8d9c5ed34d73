import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { afterFailure, afterLostLease } from "../../src/domain/attempts.ts";
import { backoffMs } from "../../src/domain/backoff.ts";
import { countsChange, findCycle, pendingState, standingOf } from "../../src/domain/dependencies.ts";
import { JOB_KINDS, JOB_STATES } from "../../src/domain/job.ts";
import { compareJobs } from "../../src/domain/ordering.ts";
import { add, fits, subtract } from "../../src/domain/resources.ts";
import { matches, shapeKey } from "../../src/domain/shape.ts";
import { type Cause, canTransition, isFinal, isHeld, isPending } from "../../src/domain/stateMachine.ts";

const anyState = fc.constantFrom(...JOB_STATES);
const anyAmounts = fc.record({ cpu: fc.nat(64), accelerators: fc.nat(8), memoryMb: fc.nat(4096) });
const anyLabels = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.constantFrom("1", "2"));
const CAUSES: readonly Cause[] = [
  "ready",
  "claimed",
  "started",
  "succeeded",
  "failed",
  "retry scheduled",
  "put back",
  "lease lost",
  "dependency failed",
  "dependency back",
  "dependency reopened",
  "cancelled",
  "retried",
  "set by hand",
];

describe("the state machine", () => {
  test("leaves a final state only when somebody says so, and success only by a retry", () => {
    fc.assert(
      fc.property(anyState, anyState, fc.constantFrom(...CAUSES), (from, to, cause) => {
        if (!canTransition(from, to, cause) || !isFinal(from)) return;
        expect(cause === "retried" || (cause === "set by hand" && from !== "succeeded")).toBe(true);
      }),
    );
  });

  test("gives a job to a worker only from ready", () => {
    for (const from of JOB_STATES) expect(canTransition(from, "leased", "claimed")).toBe(from === "ready");
  });

  test("sorts every state into exactly one of held, final and pending", () => {
    for (const state of JOB_STATES) {
      expect([isHeld(state), isFinal(state), isPending(state)].filter(Boolean)).toHaveLength(1);
    }
  });

  test("can bring every state to an end, and every end back", () => {
    const reachable = (start: (typeof JOB_STATES)[number]) => {
      const seen = new Set([start]);
      for (const from of seen) {
        for (const to of JOB_STATES) if (CAUSES.some((cause) => canTransition(from, to, cause))) seen.add(to);
      }
      return seen;
    };
    for (const state of JOB_STATES) {
      expect(reachable(state).has("succeeded")).toBe(true);
      expect(reachable(state).has("ready")).toBe(true);
    }
  });
});

describe("the order of ready jobs", () => {
  const anyJobs = fc.uniqueArray(fc.record({ id: fc.nat(1000), priority: fc.integer({ min: -5, max: 5 }) }), {
    selector: (job) => job.id,
  });

  test("is total: no two jobs are equal, and it does not depend on where they stood", () => {
    fc.assert(
      fc.property(anyJobs, (jobs) => {
        const sorted = [...jobs].sort(compareJobs);
        expect([...jobs].reverse().sort(compareJobs)).toEqual(sorted);
        for (const [index, job] of sorted.entries()) {
          const next = sorted[index + 1];
          if (next !== undefined) expect(compareJobs(job, next)).toBeLessThan(0);
        }
      }),
    );
  });

  test("puts higher priority first, then the older job", () => {
    fc.assert(
      fc.property(anyJobs, (jobs) => {
        const sorted = [...jobs].sort(compareJobs);
        for (const [index, job] of sorted.entries()) {
          const next = sorted[index + 1];
          if (next === undefined) continue;
          expect(job.priority > next.priority || (job.priority === next.priority && job.id < next.id)).toBe(
            true,
          );
        }
      }),
    );
  });
});

describe("resources", () => {
  test("fit exactly when what is left is not negative", () => {
    fc.assert(
      fc.property(anyAmounts, anyAmounts, (need, free) => {
        const left = subtract(free, need);
        expect(fits(need, free)).toBe(left.cpu >= 0 && left.accelerators >= 0 && left.memoryMb >= 0);
        expect(add(left, need)).toEqual(free);
      }),
    );
  });
});

describe("a shape", () => {
  const anyShape = fc.record({
    queue: fc.constantFrom("default", "gpu"),
    kind: fc.constantFrom(...JOB_KINDS),
    resources: anyAmounts,
    requires: anyLabels,
  });

  test("has a key that tells it from every other, whatever the order of its labels", () => {
    fc.assert(
      fc.property(anyShape, anyShape, (a, b) => {
        const reordered = { ...a, requires: Object.fromEntries(Object.entries(a.requires).reverse()) };
        expect(shapeKey(reordered)).toBe(shapeKey(a));
        expect(shapeKey(a) === shapeKey(b)).toBe(Bun.deepEquals(a, b));
      }),
    );
  });

  test("is matched by a worker with its queue, kind, labels and room, and by no other", () => {
    fc.assert(
      fc.property(anyShape, anyAmounts, anyLabels, fc.boolean(), (shape, capacity, labels, isAny) => {
        const offer = { queues: [isAny ? "*" : "gpu"], kinds: [shape.kind], capacity, labels };
        expect(matches(shape, offer)).toBe(
          fits(shape.resources, capacity) &&
            (isAny || shape.queue === "gpu") &&
            Object.entries(shape.requires).every(([key, value]) => labels[key] === value),
        );
        expect(matches(shape, { ...offer, kinds: [] })).toBe(false);
      }),
    );
  });
});

describe("dependency rules", () => {
  test("count a change of standing there and back to nothing", () => {
    fc.assert(
      fc.property(anyState, anyState, (a, b) => {
        const there = countsChange(standingOf(a), standingOf(b));
        const back = countsChange(standingOf(b), standingOf(a));
        expect(there.unmet + back.unmet).toBe(0);
        expect(there.doomed + back.doomed).toBe(0);
      }),
    );
  });

  test("let a job run when all it waits for is met and its time has come", () => {
    expect(pendingState({ unmet: 0, doomed: 0, runAt: null }, 10)).toBe("ready");
    expect(pendingState({ unmet: 0, doomed: 0, runAt: 10 }, 10)).toBe("ready");
    expect(pendingState({ unmet: 0, doomed: 0, runAt: 11 }, 10)).toBe("waiting");
    expect(pendingState({ unmet: 1, doomed: 0, runAt: null }, 10)).toBe("waiting");
    expect(pendingState({ unmet: 2, doomed: 1, runAt: 11 }, 10)).toBe("blocked");
  });

  test("find a cycle exactly when no order of the jobs respects all edges", () => {
    const anyGraph = fc.array(fc.tuple(fc.nat(7), fc.nat(7)), { maxLength: 14 });
    fc.assert(
      fc.property(anyGraph, (pairs) => {
        const edges = new Map<number, number[]>();
        for (const [from, to] of pairs) edges.set(from, [...(edges.get(from) ?? []), to]);
        const cycle = findCycle(edges);
        expect(cycle === null).toBe(canBeOrdered(edges));
        for (const [index, node] of (cycle ?? []).entries()) {
          const next = cycle?.[(index + 1) % cycle.length];
          expect(edges.get(node)).toContain(next as number);
        }
      }),
    );
  });

  test("follow a chain of a hundred thousand jobs", () => {
    const edges = new Map(Array.from({ length: 100_000 }, (_, index) => [index, [index + 1]] as const));
    expect(findCycle(edges)).toBeNull();
    expect(findCycle(new Map([...edges, [100_000, [0]]]))).toHaveLength(100_001);
  });
});

/** Takes away jobs that depend on nothing, again and again: all go when there is no cycle. */
function canBeOrdered(edges: ReadonlyMap<number, readonly number[]>): boolean {
  const left = new Map([...edges].map(([from, to]) => [from, [...to]]));
  for (;;) {
    const free = [...left].filter(([, to]) => to.every((one) => !left.has(one)));
    if (free.length === 0) return left.size === 0;
    for (const [node] of free) left.delete(node);
  }
}

describe("retry", () => {
  /** A job's budget, and how its attempts end one after the other: lost where true. */
  const anyBudgetAndEnds = [
    fc.integer({ min: 1, max: 5 }),
    fc.nat(5),
    fc.infiniteStream(fc.boolean()),
  ] as const;

  test("waits twice as long after each failure, up to the limit", () => {
    expect([1, 2, 3, 4, 5].map((failures) => backoffMs(failures, 1_000, 6_000))).toEqual([
      1_000, 2_000, 4_000, 6_000, 6_000,
    ]);
    expect(backoffMs(1_000_000, 1_000, 3_600_000)).toBe(3_600_000);
  });

  test("ends after so many failures and so many lost leases, in whatever order they come", () => {
    fc.assert(
      fc.property(...anyBudgetAndEnds, (maxAttempts, maxRecoveries, ends) => {
        let budget = { spent: 0, recoveries: 0, maxAttempts, maxRecoveries };
        for (let attempt = 1; ; attempt++) {
          const verdict =
            ends.next().value === true ? afterLostLease(budget, "spends an attempt") : afterFailure(budget);
          budget = { ...budget, spent: verdict.spent, recoveries: verdict.recoveries };
          expect(attempt).toBeLessThanOrEqual(maxAttempts + maxRecoveries);
          if (!verdict.isRepeated) break;
        }
        expect(budget.spent).toBe(maxAttempts);
        expect(budget.recoveries).toBeLessThanOrEqual(maxRecoveries);
      }),
    );
  });

  test("never follows a lost lease beyond the cap where the API has it so, and is not used up by one", () => {
    fc.assert(
      fc.property(...anyBudgetAndEnds, (maxAttempts, maxRecoveries, ends) => {
        let budget = { spent: 0, recoveries: 0, maxAttempts, maxRecoveries };
        let lost = 0;
        let failed = 0;
        for (;;) {
          const isLost = ends.next().value === true;
          if (isLost) lost++;
          else failed++;
          const verdict = isLost ? afterLostLease(budget, "fails the job") : afterFailure(budget);
          expect(verdict.isRepeated).toBe(lost <= maxRecoveries && failed < maxAttempts);
          expect(verdict.spent).toBe(failed);
          expect(verdict.recoveries).toBe(Math.min(lost, maxRecoveries));
          if (!verdict.isRepeated) break;
          budget = { ...budget, spent: verdict.spent, recoveries: verdict.recoveries };
        }
      }),
    );
  });
});
