import { expect, test } from "bun:test";
import { Offers } from "../../../src/dialects/shelby/offers.ts";

function offersAt(options: { readonly maxOffers?: number } = {}) {
  const time = { ms: 0 };
  return { time, offers: new Offers({ offerMs: 1_000, clock: () => time.ms, ...options }) };
}
const job = (id: number, attempt = 0) => ({ id, attempt });

test("a job is one node's until its time is over, then anybody's", () => {
  const { offers, time } = offersAt();
  expect([offers.offer(job(1), "a"), offers.offer(job(1), "b"), offers.offer(job(1), "a")]).toEqual([
    ...[true, false, true],
  ]);
  time.ms = 1_000;
  expect(offers.offer(job(1), "b")).toBe(true);
  expect(offers.offer(job(1), "a")).toBe(false);
});

test("a node that does nothing with a job that others want does not get it again at once", () => {
  const { offers, time } = offersAt();
  offers.offer(job(1), "a");
  offers.offer(job(1), "b");
  time.ms = 1_500;
  expect([offers.offer(job(1), "a"), offers.offer(job(1), "b")]).toEqual([false, true]);
  // Where nobody else wants it, it does.
  offers.offer(job(2), "c");
  time.ms = 3_000;
  expect(offers.offer(job(2), "c")).toBe(true);
});

test("a job that was taken is shown to nobody who read it before, and to all when it comes back", () => {
  const { offers } = offersAt();
  offers.offer(job(1), "a");
  offers.taken(1, 0);
  expect([offers.offer(job(1), "a"), offers.offer(job(1), "b")]).toEqual([false, false]);
  expect(offers.offer(job(1, 1), "b")).toBe(true);
});

test("a node that is shown another job leaves the first to others", () => {
  const { offers } = offersAt();
  offers.offer(job(2), "a");
  offers.offer(job(1), "a");
  expect(offers.offer(job(2), "b")).toBe(true);
});

test("what is kept is bounded, and forgotten when it is long over", () => {
  const { offers, time } = offersAt({ maxOffers: 10 });
  for (let id = 1; id <= 100; id++) offers.offer(job(id), `n${id}`);
  expect(offers.size).toBe(10);
  expect([offers.offer(job(100), "x"), offers.offer(job(1), "x")]).toEqual([false, true]);
  time.ms = 2_000;
  expect(offers.size).toBe(0);
});
