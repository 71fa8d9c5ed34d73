/** Shared reads give nobody old news. */
import { expect, test } from "bun:test";
import { FreshReads } from "../../src/dialects/freshReads.ts";

function scripted() {
  const begun: { key: string; end: (value: number) => void; fail: (error: Error) => void }[] = [];
  const reads = new FreshReads((key: string) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    begun.push({ key, end: resolve, fail: reject });
    return promise;
  });
  return { reads, begun };
}

test("callers during a read share the one that follows it", async () => {
  const { reads, begun } = scripted();
  const first = reads.get("a");
  const others = [reads.get("a"), reads.get("a"), reads.get("a")];
  expect(begun.length).toBe(1);
  begun[0]?.end(1);
  expect(await first).toBe(1);
  await Promise.resolve();
  expect(begun.length).toBe(2);
  begun[1]?.end(2);
  expect(await Promise.all(others)).toEqual([2, 2, 2]);
  const later = reads.get("a");
  expect(begun.length).toBe(3);
  begun[2]?.end(3);
  expect(await later).toBe(3);
});

test("keys do not wait for each other, and a read that fails fails only those who asked for it", async () => {
  const { reads, begun } = scripted();
  const a = reads.get("a");
  const b = reads.get("b");
  const next = reads.get("a");
  expect(begun.map((one) => one.key)).toEqual(["a", "b"]);
  begun[0]?.fail(new Error("away"));
  await expect(a).rejects.toThrow("away");
  begun[1]?.end(5);
  expect(await b).toBe(5);
  await Promise.resolve();
  begun[2]?.end(6);
  expect(await next).toBe(6);
});
