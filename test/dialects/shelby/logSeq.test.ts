/** Numbers of a log's messages. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isAfter, type LogPoint } from "../../../src/dialects/shelby/live/logPoint.ts";
import { pointOf, seqOf } from "../../../src/dialects/shelby/live/logSeq.ts";
import { encodePlace } from "../../../src/engine/logPlace.ts";

const at = (attempt: number, chunk: number, index: number): LogPoint => ({
  place: encodePlace({ attempt, seq: chunk }),
  index,
});

const jobIds = fc.integer({ min: 1, max: 2 ** 40 });
const indexes = fc.oneof(
  fc.integer({ min: 0, max: 3 }),
  fc.integer({ min: 1_000, max: 1_050 }),
  fc.integer({ min: 0, max: 2 ** 21 + 3 }),
);
const exact = fc
  .tuple(fc.integer({ min: 1, max: 169 }), fc.integer({ min: 0, max: 2 ** 24 - 2 ** 19 - 1 }), indexes)
  .map(([attempt, chunk, index]) => at(attempt, chunk, index));
const any = fc
  .tuple(
    fc.oneof(fc.integer({ min: 1, max: 172 }), fc.integer({ min: 1, max: 2 ** 21 })),
    fc.oneof(
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 2 ** 24 - 2 ** 19 - 3, max: 2 ** 24 - 2 ** 19 + 3 }),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    ),
    indexes,
  )
  .map(([attempt, chunk, index]) => at(attempt, chunk, index));

test("a number says where its line stands", () => {
  fc.assert(
    fc.property(jobIds, exact, (jobId, point) => {
      expect(pointOf(jobId, seqOf(jobId, point))).toEqual(point);
    }),
  );
});

test("numbers grow with the log: by line, by chunk and by attempt", () => {
  fc.assert(
    fc.property(jobIds, exact, exact, (jobId, one, other) => {
      expect(seqOf(jobId, one) < seqOf(jobId, other)).toBe(isAfter(other, one));
    }),
  );
  fc.assert(
    fc.property(jobIds, any, any, (jobId, one, other) => {
      const [first, second] = isAfter(one, other) ? [other, one] : [one, other];
      expect(seqOf(jobId, first)).toBeLessThanOrEqual(seqOf(jobId, second));
    }),
  );
});

test("every number is positive and exact in JSON, and fits into ?after=", () => {
  fc.assert(
    fc.property(jobIds, any, (jobId, point) => {
      const seq = seqOf(jobId, point);
      expect([seq > 0, Number.isSafeInteger(seq), String(seq).length <= 16]).toEqual([true, true, true]);
    }),
  );
});

test("nobody goes on from a number beyond the bounds", () => {
  for (const point of [
    at(170, 1, 1),
    at(2 ** 21, 9, 1),
    at(1, 2 ** 24 - 2 ** 19, 1),
    at(169, 2 ** 32 - 1, 7),
  ]) {
    expect(pointOf(5, seqOf(5, point))).toBeNull();
  }
  for (const seq of [0, -1, 0.5, Number.NaN, Number.MAX_SAFE_INTEGER]) expect(pointOf(5, seq)).toBeNull();
});

test("a number of another job of that name is known for what it is", () => {
  for (let other = 6; other < 1_000; other++) expect(pointOf(other, seqOf(5, at(1, 40, 1)))).toBeNull();
});
