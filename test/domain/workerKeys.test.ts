import { expect, test } from "bun:test";
import type { JsonObject } from "../../src/domain/job.ts";
import { MAX_EARLIER_KEYS, withEarlierKeys, workerKeys } from "../../src/domain/workerKeys.ts";

/** What is kept after a worker registered with these keys in turn, at the times 1, 2, … */
function afterKeys(...keys: readonly (string | null)[]): JsonObject {
  return keys.reduce<JsonObject>(
    (details, publicKey, index) =>
      withEarlierKeys(details, publicKey === null ? {} : { publicKey }, index + 1),
    {},
  );
}

test("a worker that registers with the same key, or never with one, has no earlier keys", () => {
  expect(workerKeys(afterKeys("a", "a"))).toEqual({ publicKey: "a", earlier: [] });
  expect(workerKeys(afterKeys(null, null))).toEqual({ publicKey: null, earlier: [] });
});

test("a key that is replaced, or left out, is kept with the time", () => {
  expect(workerKeys(afterKeys("a", "b"))).toEqual({
    publicKey: "b",
    earlier: [{ publicKey: "a", replacedAt: 2 }],
  });
  expect(workerKeys(afterKeys("a", null, null))).toEqual({
    publicKey: null,
    earlier: [{ publicKey: "a", replacedAt: 2 }],
  });
  const back = workerKeys(afterKeys("a", "b", "a"));
  expect(back).toEqual({ publicKey: "a", earlier: [{ publicKey: "b", replacedAt: 3 }] });
});

test("so many are kept and no more, the newest; details that say nothing sensible have none", () => {
  const many = Array.from({ length: MAX_EARLIER_KEYS + 5 }, (_, index) => `key ${index}`);
  const { earlier } = workerKeys(afterKeys(...many));
  expect(earlier).toHaveLength(MAX_EARLIER_KEYS);
  expect(earlier[0]).toEqual({ publicKey: `key ${many.length - 2}`, replacedAt: many.length });
  expect(workerKeys({ publicKey: 1, earlierKeys: [1, null, {}, { publicKey: "a" }] })).toEqual({
    publicKey: null,
    earlier: [],
  });
});
