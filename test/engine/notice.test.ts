import { expect, test } from "bun:test";
import type { Shape } from "../../src/domain/shape.ts";
import type { EngineEvent } from "../../src/engine/engine.ts";
import { decodeNotice, encodeNotices, MISSED_NOTICE } from "../../src/engine/notice.ts";
import { encodeText } from "../../src/store/postgres/text.ts";
import { MAX_ANNOUNCEMENT_BYTES } from "../../src/store/store.ts";

const shape = (queue: string): Shape => ({
  queue,
  kind: "command",
  resources: { cpu: 1, accelerators: 0, memoryMb: 0 },
  requires: { zone: "a" },
});
const log: EngineEvent = { type: "log", jobId: 7, attempt: 1, lastSeq: 3 };
const change = (id: number): EngineEvent => ({
  ...{ type: "job", id, key: `0192f0c1-${id}-é`, dialect: "shelby", kind: "script", queue: "shelby" },
  ...{ projectId: null, from: "running", to: id % 2 === 0 ? "succeeded" : "failed" },
  ...{ attempt: 2, workerId: id % 3 === 0 ? null : "node", time: 1_700_000_000_000 },
});
const changes = (count: number) => Array.from({ length: count }, (_, n) => change(n));
const fits = (text: string) => Buffer.byteLength(text) <= MAX_ANNOUNCEMENT_BYTES;

test("a notice comes back as it was sent", () => {
  const events: EngineEvent[] = [log, change(1), { type: "worker", id: "w", state: "draining" }, change(2)];
  const texts = encodeNotices("s1", new Map([[shape("q"), 3]]), events);
  expect(texts.map(decodeNotice)).toEqual([{ serverId: "s1", readied: new Map([[shape("q"), 3]]), events }]);
});

test("a commit of a thousand jobs is told whole, in order, in several notices", () => {
  const readied = new Map([[shape("q"), 3]]);
  const events = [log, ...changes(1_000)];
  const texts = encodeNotices("s1", readied, events);
  expect(texts.length).toBeLessThan(20);
  expect(texts.every(fits)).toBe(true);
  const notices = texts.map(decodeNotice);
  expect(notices.flatMap((notice) => notice.events ?? [])).toEqual(events);
  // Woken once.
  expect(notices.map((notice) => notice.readied)).toEqual([readied, ...texts.slice(1).map(() => new Map())]);
});

test("what is over the limit is told as look again, after what fits", () => {
  const readied = new Map([[shape("é".repeat(100)), 1]]);
  const texts = encodeNotices("s1", readied, changes(20_000));
  expect(texts.length).toBeLessThan(40);
  expect(texts.every(fits)).toBe(true);
  const notices = texts.map(decodeNotice);
  expect(notices[0]?.events?.[0]).toEqual(change(0));
  expect(notices.at(-1)).toEqual({ serverId: "s1", readied: new Map(), events: null });
  const shapes = Array.from({ length: 500 }, (_, n) => [shape(`é${n}`), 1] as const);
  const [many = ""] = encodeNotices("s1", new Map(shapes), [log]);
  expect(fits(many)).toBe(true);
  expect(decodeNotice(many)).toEqual({ serverId: "s1", readied: null, events: [log] });
});

test("a job whose key is too long for a notice is told as look again", () => {
  const long = { ...change(1), key: "k".repeat(8_000) } as EngineEvent;
  const texts = encodeNotices("s1", new Map(), [change(0), long, change(2)]);
  expect(texts.every(fits)).toBe(true);
  expect(texts.map((text) => decodeNotice(text).events)).toEqual([[change(0)], null]);
});

test("no character of a key grows on its way through the store", () => {
  const event = { ...change(1), key: "\uFFFE\0" } as EngineEvent;
  const [text = ""] = encodeNotices("s1", new Map(), [event]);
  expect(encodeText(text)).toBe(text);
  expect(decodeNotice(text).events).toEqual([event]);
});

test("a notice that cannot be read is as good as one that was missed", () => {
  expect(decodeNotice("what?")).toBe(MISSED_NOTICE);
  expect(decodeNotice('{"from":"s1","ready":[],"events":[]}')).toBe(MISSED_NOTICE);
});
