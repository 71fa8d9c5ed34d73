/**
 * Lines of one log on their way to WebSockets: the delay from the moment a line was sent, while lines come at a steady
 * pace, and how many a second are delivered when they come as fast as they are accepted. Readers and sender are one
 * process beside the server, so the delay holds their work too.
 */
import { Connection, loadWith } from "../connection.ts";
import { type Effort, type Figure, median, plain, quantile } from "../figure.ts";
import { Followers } from "../followers.ts";
import type { Bench, ServerProcess } from "../processes.ts";
import { createJobBytes, logLineBytes } from "../shelby.ts";

const JOB = "followed";
const PATH = `/ws/jobs/${JOB}/logs`;
/** Lines a second at the steady pace, and what they may make of all deliveries together. */
const MAX_PACE = 200;
const MAX_PACED_DELIVERIES = 50_000;
const SENDERS = 8;
const BURST_SENDERS = 64;
/** A burst must stay among what the server keeps for readers that fall behind. */
const MAX_BURST_LINES = 8_000;
const BURST_TIMEOUT_MS = 60_000;

export async function shelbyFollowers(bench: Bench, effort: Effort): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const count of effort.followers) {
    const server = await bench.server();
    figures.push(...(await followed(server, count, effort)));
    await bench.end(server.pid);
  }
  return figures;
}

async function followed(server: ServerProcess, count: number, effort: Effort): Promise<Figure[]> {
  const senders = await Promise.all(Array.from({ length: SENDERS }, () => Connection.open(server.target)));
  await senders[0]?.request(createJobBytes(JOB));
  const followers = await Followers.open(server, new Array<string>(count).fill(PATH));
  const numbers = new LineNumbers();
  const pace = Math.min(MAX_PACE, MAX_PACED_DELIVERIES / count);
  const medians: number[] = [];
  const slowest: number[] = [];
  const delivered: number[] = [];
  // The first round warms all up.
  for (let round = 0; round <= effort.rounds; round += 1) {
    await paced({ senders, followers, count, numbers, pace, durationMs: effort.durationMs });
    const delays = followers.takeDelaysMs();
    const lines = Math.min(MAX_BURST_LINES, Math.ceil(effort.deliveries / count));
    const perSecond = await burst({ server, followers, count, numbers, lines });
    followers.takeDelaysMs();
    if (round === 0) continue;
    medians.push(median(delays));
    slowest.push(quantile(delays, 0.99));
    delivered.push(perSecond);
  }
  followers.close();
  for (const sender of senders) sender.close();
  const words = `${count.toLocaleString("en-GB")} ${count === 1 ? "follower" : "followers"}`;
  return [
    plain(`shelby: a line to ${words}, ${pace} lines a second, median delay`, "ms", median(medians)),
    plain(`shelby: a line to ${words}, ${pace} lines a second, p99 of the delay`, "ms", median(slowest)),
    plain(
      `shelby: lines delivered to ${words}, sent ${BURST_SENDERS} at a time`,
      "lines/s",
      median(delivered),
    ),
  ];
}

class LineNumbers {
  #next = 0;
  take(): number {
    this.#next += 1;
    return this.#next;
  }
}

interface Pace {
  readonly senders: readonly Connection[];
  readonly followers: Followers;
  readonly count: number;
  readonly numbers: LineNumbers;
  /** Lines a second. */
  readonly pace: number;
  readonly durationMs: number;
}

/** Sends lines at even times, each sender its own, and waits until all have come to all. */
async function paced({ senders, followers, count, numbers, pace, durationMs }: Pace): Promise<void> {
  const lines = Math.max(senders.length, Math.round((pace * durationMs) / 1_000));
  const arrivals = followers.arrivals(lines * count);
  const startedAt = performance.now();
  const sending = senders.map(async (sender, index) => {
    for (let line = index; line < lines; line += senders.length) {
      const waitMs = startedAt + (line * 1_000) / pace - performance.now();
      if (waitMs > 0) await Bun.sleep(waitMs);
      const number = numbers.take();
      const bytes = logLineBytes(JOB, number);
      followers.sends(number);
      await sender.request(bytes);
    }
  });
  await Promise.all([...sending, arrivals]);
}

interface Burst {
  readonly server: ServerProcess;
  readonly followers: Followers;
  readonly count: number;
  readonly numbers: LineNumbers;
  readonly lines: number;
}

/** Sends lines as fast as they are accepted; returns how many a second came, over all followers. */
async function burst({ server, followers, count, numbers, lines }: Burst): Promise<number> {
  const arrivals = followers.arrivals(lines * count);
  let left = lines;
  const next = () => {
    if (left === 0) return null;
    left -= 1;
    const number = numbers.take();
    followers.sends(number);
    return logLineBytes(JOB, number);
  };
  const startedAt = performance.now();
  const connections = Math.min(BURST_SENDERS, lines);
  const sending = loadWith(server.target, next, { connections, durationMs: BURST_TIMEOUT_MS, status: 200 });
  await Promise.all([sending, arrivals]);
  return (lines * count) / ((performance.now() - startedAt) / 1_000);
}
