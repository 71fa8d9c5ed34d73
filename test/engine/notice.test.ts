import { expect, test } from "bun:test";
import type { Shape } from "../../src/domain/shape.ts";
import type { EngineEvent } from "../../src/engine/engine.ts";
import { decodeNotice, encodeNotice, MISSED_NOTICE } from "../../src/engine/notice.ts";
import { MAX_ANNOUNCEMENT_BYTES } from "../../src/store/store.ts";

const shape = (queue: string): Shape => ({
  queue,
  kind: "command",
  resources: { cpu: 1, accelerators: 0, memoryMb: 0 },
  requires: { zone: "a" },
});
const event: EngineEvent = { type: "log", jobId: 7, attempt: 1, lastSeq: 3 };

test("a notice comes back as it was sent", () => {
  const text = encodeNotice("s1", new Map([[shape("q"), 3]]), [event]);
  expect(decodeNotice(text)).toEqual({
    serverId: "s1",
    readied: new Map([[shape("q"), 3]]),
    events: [event],
  });
});

test("what does not fit is told as look again, the events first", () => {
  const readied = new Map([[shape("é".repeat(100)), 1]]);
  const many = encodeNotice(
    "s1",
    readied,
    Array.from({ length: 5_000 }, () => event),
  );
  expect(decodeNotice(many)).toEqual({ serverId: "s1", readied, events: null });
  const shapes = Array.from({ length: 500 }, (_, n) => [shape(`é${n}`), 1] as const);
  const most = encodeNotice("s1", new Map(shapes), [event]);
  expect(decodeNotice(most)).toEqual({ serverId: "s1", readied: null, events: null });
  for (const text of [many, most])
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_ANNOUNCEMENT_BYTES);
});

test("a notice that cannot be read is as good as one that was missed", () => {
  expect(decodeNotice("what?")).toBe(MISSED_NOTICE);
});
