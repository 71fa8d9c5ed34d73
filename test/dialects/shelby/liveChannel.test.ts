/** What a stream keeps, and whom it drops. */
import { afterEach, expect, test } from "bun:test";
import { Channel, type Follower, type Message } from "../../../src/dialects/shelby/live/channel.ts";
import { KeptBytes } from "../../../src/dialects/shelby/live/keptBytes.ts";

class Reader implements Follower<null> {
  room = Number.POSITIVE_INFINITY;
  readonly seqs: number[] = [];
  readonly ends: [number, string][] = [];
  onRoom: (() => void) | null = null;

  take(messages: readonly Message<null>[], from: number): number {
    const taken = messages.slice(from, from + this.room);
    this.room -= taken.length;
    this.seqs.push(...taken.map(({ seq }) => seq));
    return taken.length;
  }

  end(code: number, reason: string): void {
    this.ends.push([code, reason]);
  }
}

const open: Channel<null>[] = [];
afterEach(() => {
  for (const channel of open.splice(0)) channel.close();
});

function channelOf(limits: object = {}, kept = new KeptBytes(1_000_000)): Channel<null> {
  const channel = new Channel<null>(
    { slowReaderMs: 10_000, stalledReaderMs: 2_000, maxKeptMessages: 10, maxKeptBytes: 1_000_000, ...limits },
    kept,
  );
  open.push(channel);
  return channel;
}

/** Resolves when the reader was dropped. */
async function ended(reader: Reader): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (reader.ends.length === 0 && Date.now() < deadline) await Bun.sleep(5);
}

function publish(channel: Channel<null>, count: number, text = ""): void {
  for (let n = 0; n < count; n++) channel.publish("x", 0, text, null);
  channel.flush();
  channel.trim();
}

test("a reader takes as it has room, and goes on where it was", () => {
  const channel = channelOf();
  const start = channel.head;
  const reader = new Reader();
  reader.room = 3;
  channel.join(reader, start);
  publish(channel, 8);
  expect(reader.seqs).toEqual([1, 2, 3].map((n) => start + n));
  reader.room = 100;
  reader.onRoom?.();
  expect(reader.seqs).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((n) => start + n));
  expect(reader.ends).toEqual([]);
});

test("who needs what is no longer kept is dropped with 4408, the others are not", () => {
  const channel = channelOf();
  const [slow, quick] = [new Reader(), new Reader()];
  slow.room = 3;
  channel.join(slow, channel.head);
  channel.join(quick, channel.head);
  publish(channel, 13);
  expect(slow.ends).toEqual([]);
  publish(channel, 1);
  expect(slow.ends).toEqual([[4408, expect.stringContaining("no longer kept")]]);
  expect(quick.seqs.length).toBe(14);
  expect(channel.size).toBe(1);
});

test("who takes nothing, but is in nobody's way, is left to its connection", async () => {
  const channel = channelOf({ slowReaderMs: 40, stalledReaderMs: 20 });
  const reader = new Reader();
  reader.room = 0;
  channel.join(reader, channel.head);
  channel.join(new Reader(), channel.head);
  publish(channel, 1);
  await Bun.sleep(200);
  expect([channel.size, reader.ends]).toEqual([2, []]);
});

test("nobody waits for a reader that is behind within what is kept", async () => {
  const channel = channelOf();
  const stalled = new Reader();
  stalled.room = 0;
  channel.join(stalled, channel.head);
  channel.join(new Reader(), channel.head);
  publish(channel, 10);
  // Resolves at once: were it to wait, it would be for two seconds.
  const before = performance.now();
  await channel.trimmable();
  expect(performance.now() - before).toBeLessThan(1_000);
  expect([channel.size, stalled.ends]).toEqual([2, []]);
});

test("who trickles along while the others wait is dropped, alone it is not", async () => {
  const channel = channelOf({ slowReaderMs: 60, stalledReaderMs: 2_000 });
  const trickle = new Reader();
  trickle.room = 0;
  channel.join(trickle, channel.head);
  for (let n = 0; n < 10_000; n++) channel.publish("x", 0, "", null);
  channel.flush();
  const timer = setInterval(() => {
    trickle.room = 1;
    trickle.onRoom?.();
  }, 5);
  const alone = await Promise.race([
    channel.trimmable().then(() => "room"),
    Bun.sleep(200).then(() => "waits"),
  ]);
  expect([alone, trickle.ends]).toEqual(["waits", []]);
  channel.join(new Reader(), channel.head);
  await ended(trickle);
  clearInterval(timer);
  expect(trickle.ends).toEqual([[4408, expect.stringContaining("held up others")]]);
});

test("who takes nothing while others wait is dropped sooner, also where most stand still", async () => {
  const channel = channelOf({ stalledReaderMs: 40 });
  const start = channel.head;
  const stalled = Array.from({ length: 9 }, () => new Reader());
  for (const reader of stalled) {
    reader.room = 3;
    channel.join(reader, start);
  }
  const quick = new Reader();
  channel.join(quick, start);
  for (let n = 0; n < 14; n++) channel.publish("x", 0, "", null);
  channel.flush();
  const before = performance.now();
  await channel.trimmable();
  expect(performance.now() - before).toBeLessThan(5_000);
  for (const { ends } of stalled) {
    expect(ends).toEqual([[4408, expect.stringContaining("took nothing for 40 ms, and held up others")]]);
  }
  expect([quick.seqs.length, quick.ends]).toEqual([14, []]);
  channel.trim();
  expect(channel.messages.length).toBe(10);
});

test("who comes does not wait for one that stands still, either", async () => {
  const channel = channelOf({ stalledReaderMs: 40 });
  const stalled = new Reader();
  stalled.room = 0;
  channel.join(stalled, channel.head);
  for (let n = 0; n < 11; n++) channel.publish("x", 0, "", null);
  channel.flush();
  await channel.trimmable(() => true);
  expect(stalled.ends).toEqual([[4408, expect.stringContaining("held up others")]]);
});

test("at the end each is ended when it has taken all, and waits for no other", async () => {
  const channel = channelOf();
  const [slow, quick] = [new Reader(), new Reader()];
  slow.room = 3;
  channel.join(slow, channel.head);
  channel.join(quick, channel.head);
  publish(channel, 8);
  const ending = channel.endWhenTaken(1000, "over");
  expect([slow.ends, quick.ends]).toEqual([[], [[1000, "over"]]]);
  slow.room = 100;
  slow.onRoom?.();
  await ending;
  expect([slow.seqs.length, slow.ends]).toEqual([8, [[1000, "over"]]]);
});

test("numbers of another stream, or of one before, are none of this one's", async () => {
  const before = channelOf();
  publish(before, 5);
  await Bun.sleep(3);
  const channel = channelOf();
  publish(channel, 5);
  for (const seq of [
    0,
    1,
    before.head,
    before.head - 3,
    channel.head + 1,
    channel.head - 6,
    0.5,
    Number.NaN,
  ]) {
    expect([seq, channel.has(seq)]).toEqual([seq, false]);
  }
  for (const back of [0, 1, 5]) expect(channel.has(channel.head - back)).toBe(true);
});

test("all streams together keep no more than they may, and each has a share", () => {
  const kept = new KeptBytes(200_000);
  const channels = Array.from({ length: 10 }, () => channelOf({ maxKeptMessages: 1_000 }, kept));
  for (const channel of channels) publish(channel, 100, "x".repeat(1_000));
  expect(kept.bytes).toBeLessThan(400_000);
  for (const channel of channels) expect(channel.messages.length).toBeGreaterThan(3);
  for (const channel of channels) channel.close();
  expect(kept.bytes).toBe(0);
});

test("a new stream counts on above all that this server gave before, also within one second", () => {
  let largest = 0;
  for (let n = 0; n < 100; n++) {
    const channel = channelOf();
    expect(channel.head).toBeGreaterThan(largest);
    expect(channel.has(largest)).toBe(false);
    publish(channel, 20);
    largest = channel.head;
  }
});

test("numbers of their own grow by any step, and who comes back goes on between them", () => {
  const channel = new Channel<null>(
    { slowReaderMs: 10_000, stalledReaderMs: 2_000, maxKeptMessages: 3, maxKeptBytes: 1_000_000 },
    new KeptBytes(1_000_000),
    0,
  );
  open.push(channel);
  channel.startAt(100);
  const reader = new Reader();
  channel.join(reader, 100);
  // One that would not grow is raised.
  for (const seq of [150, 200, 200, 900]) channel.publish("x", 0, "", null, seq);
  channel.flush();
  expect(reader.seqs).toEqual([150, 200, 201, 900]);
  channel.trim();
  expect(channel.floor).toBe(150);
  for (const [after, rest] of [
    [150, [200, 201, 900]],
    [200, [201, 900]],
    [500, [900]],
    [900, []],
  ] as const) {
    expect(channel.has(after)).toBe(true);
    const back = new Reader();
    channel.join(back, after);
    expect(back.seqs).toEqual([...rest]);
  }
  for (const seq of [100, 149, 901]) expect(channel.has(seq)).toBe(false);
});
