import { expect, test } from "bun:test";
import { JobWatch } from "../../src/dialects/jobWatch.ts";
import type { EngineEvent } from "../../src/engine/engine.ts";

class Events {
  readonly listeners = new Set<(events: readonly EngineEvent[]) => void>();
  subscribe(listener: (events: readonly EngineEvent[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  publish(jobId: number): void {
    for (const listener of this.listeners) listener([{ type: "log", jobId, attempt: 1, lastSeq: 1 }]);
  }
}

const never = new AbortController().signal;

test("news of the job ends the wait, news of another does not", async () => {
  const events = new Events();
  const watcher = new JobWatch(events).open(1);
  const other = watcher.next(20, never);
  events.publish(2);
  expect(await other).toBe(false);
  const own = watcher.next(60_000, never);
  events.publish(1);
  expect(await own).toBe(true);
  watcher.close();
});

test("news between two waits is not lost", async () => {
  const events = new Events();
  const watcher = new JobWatch(events).open(1);
  events.publish(1);
  expect(await watcher.next(60_000, never)).toBe(true);
  expect(await watcher.next(1, never)).toBe(false);
  watcher.close();
});

test("an abort ends the wait", async () => {
  const watcher = new JobWatch(new Events()).open(1);
  const controller = new AbortController();
  const wait = watcher.next(60_000, controller.signal);
  controller.abort();
  expect(await wait).toBe(false);
  watcher.close();
});

test("the engine is listened to once, and only while somebody watches", () => {
  const events = new Events();
  const watch = new JobWatch(events);
  const watchers = [watch.open(1), watch.open(1), watch.open(2)];
  expect(events.listeners.size).toBe(1);
  for (const watcher of watchers) {
    watcher.close();
    watcher.close();
  }
  expect(events.listeners.size).toBe(0);
});
