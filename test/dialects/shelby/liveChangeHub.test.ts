/** Who comes when: nobody waits for something to change. */
import { expect, test } from "bun:test";
import { ChangeHub } from "../../../src/dialects/shelby/live/changeHub.ts";
import { KeptBytes } from "../../../src/dialects/shelby/live/keptBytes.ts";
import { DEFAULT_LIVE_LIMITS } from "../../../src/dialects/shelby/live/liveLimits.ts";

const begun: string[] = [];

function follower(name: string) {
  return {
    ...{ from: null, onRoom: null },
    take: (messages: readonly unknown[], from: number) => messages.length - from,
    begin: () => void begun.push(name),
    end: () => {},
  };
}

test("who comes while others are let in is let in as well, though nothing changes", async () => {
  const reads: PromiseWithResolvers<object>[] = [];
  const asked = Promise.withResolvers<void>();
  const hub = new ChangeHub({
    source: {
      hear: () => false,
      snapshot: () => {
        const read = Promise.withResolvers<object>();
        reads.push(read);
        asked.resolve();
        return read.promise;
      },
      changes: async () => [],
      ...{ pauseMs: 0, dueInMs: null },
      forget: () => {},
    },
    subscribe: () => () => {},
    // Far beyond the test's own time.
    limits: { ...DEFAULT_LIVE_LIMITS, safetyPollMs: 3_600_000 },
    kept: new KeptBytes(1_000_000),
    clock: Date.now,
    onFault: (error) => {
      throw error;
    },
  });
  hub.join(follower("first"));
  await asked.promise;
  hub.join(follower("second"));
  reads[0]?.resolve({});
  const deadline = Date.now() + 2_000;
  // The first one's reading may serve the second, or a reading of its own.
  while (begun.length < 2 && Date.now() < deadline) {
    reads[1]?.resolve({});
    await Bun.sleep(1);
  }
  hub.close();
  expect(begun).toEqual(["first", "second"]);
});
