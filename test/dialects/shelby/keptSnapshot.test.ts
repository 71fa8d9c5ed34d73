/** How long the snapshot of a log is kept. */
import { expect, test } from "bun:test";
import { KeptSnapshot } from "../../../src/dialects/shelby/live/keptSnapshot.ts";
import { LineAssembler } from "../../../src/dialects/shelby/live/logLines.ts";
import { LOG_START } from "../../../src/dialects/shelby/live/logPoint.ts";
import type { LogSnapshot } from "../../../src/dialects/shelby/live/logSnapshot.ts";

const snapshotOf = (characters: number): LogSnapshot => ({
  ...{ lines: [], text: "", characters, point: LOG_START, next: 0, assembler: new LineAssembler() },
});
const LONG = 4_000_000;

test.each([
  ["a long snapshot that one reader was given is let go of at once", LONG, 1, false],
  ["a long one that nobody took either", LONG, 0, false],
  ["a long one that several were given is kept for others", LONG, 2, true],
  ["a short one is kept for others", 1_000, 1, true],
])("%s", (_what, characters, readers, isKept) => {
  const kept = new KeptSnapshot();
  const snapshot = snapshotOf(characters);
  kept.set(snapshot);
  expect(kept.current).toBe(snapshot);
  kept.release(readers);
  expect(kept.current).toBe(isKept ? snapshot : null);
  kept.forget();
});

test("what is kept is let go of after a moment", async () => {
  const kept = new KeptSnapshot();
  kept.set(snapshotOf(1_000));
  kept.release(1);
  const deadline = Date.now() + 10_000;
  while (kept.current !== null && Date.now() < deadline) await Bun.sleep(50);
  expect(kept.current).toBeNull();
});
