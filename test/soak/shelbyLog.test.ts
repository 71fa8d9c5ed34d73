/** Long: a log of a million lines, each sent by a call of its own, followed meanwhile and read back in every way there is. */
import { afterAll, expect, test } from "bun:test";
import { Connection } from "../../bench/connection.ts";
import { lineNumberOf, logLineBytes } from "../../bench/shelby.ts";
import { SocketReader } from "../../bench/socketReader.ts";
import { Scratch } from "../cli/yardmasterProcess.ts";

const LINES = Number(process.env.YARDMASTER_LOG_LINES ?? 1_000_000);
const WRITERS = 64;
const HEARTBEAT_MS = 10_000;
/** The server's highest resident memory. */
const MAX_MIB = 500;
/** Longest time of an answer that shows the end of the log, however long it is. */
const MAX_ANSWER_MS = 1_000;
/** A reader goes on after this line. */
const RESUMED_AFTER = 3;

const scratch = new Scratch();
afterAll(() => scratch.dispose());

/** The numbers of the lines that a reader got, in their order. */
class Numbers {
  readonly #numbers = new Uint32Array(LINES);
  count = 0;

  add(number: number): void {
    this.#numbers[this.count++] = number;
  }

  /** How many of the lines did not come: none came twice where this is 0 and the count is right. */
  missing(): number {
    const seen = new Uint8Array(LINES);
    for (const number of this.#numbers) seen[number] = 1;
    return LINES - seen.reduce((sum, one) => sum + one, 0);
  }

  /** Compared in place of a million numbers. */
  hashAfter(lines: number): string {
    return `${this.count - lines} lines ${Bun.hash(this.#numbers.slice(lines, this.count)).toString(16)}`;
  }
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) throw new Error("the answer has no body");
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of response.body) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** Reads a stream to its end; returns the ids of its first events. */
async function readAll(response: Response, numbers: Numbers): Promise<string[]> {
  const ids: string[] = [];
  for await (const line of linesOf(response)) {
    if (line.startsWith("id: ") && ids.length < RESUMED_AFTER) ids.push(line.slice(4));
    const number = lineNumberOf(Buffer.from(line));
    if (number !== null) numbers.add(number);
  }
  return ids;
}

test(`${LINES} lines, one a call, are all followed and read back, in one order`, async () => {
  const { url, child } = await scratch.start(["serve", "--data", "data"]);
  const target = { hostname: "127.0.0.1", port: Number(new URL(url).port) };
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  await call("POST", "/api/jobs/create", { jobId: "j", datasetName: "d" });
  await call("POST", "/api/jobs/upload-script", { jobId: "j", script: "pass" });
  await call("POST", "/api/jobs/ack", { nodeId: "node", jobId: "j" });
  const heartbeats = setInterval(
    () => void call("POST", "/api/nodes/heartbeat", { nodeId: "node" }),
    HEARTBEAT_MS,
  );

  const followed = new Numbers();
  const socketEnded = Promise.withResolvers<string>();
  await SocketReader.open(target, "/ws/jobs/j/logs", {
    onMessage: (message) => {
      const number = lineNumberOf(message);
      if (number !== null) followed.add(number);
    },
    onEnd: socketEnded.resolve,
  });
  const streamed = new Numbers();
  const stream = readAll(await call("GET", "/api/frontend/stream-logs/j"), streamed);

  const begunAt = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      const connection = await Connection.open(target);
      for (let number = next++; number < LINES; number = next++) {
        await connection.request(logLineBytes("j", number));
      }
      connection.close();
    }),
  );
  const writtenInMs = performance.now() - begunAt;
  console.log(`${Math.round((LINES / writtenInMs) * 1_000)} lines a second`);

  // The end of the log is read as fast as that of a short one, while the job still runs.
  const timed = async <T>(what: string, path: string, maxMs = MAX_ANSWER_MS): Promise<T> => {
    const before = performance.now();
    const answer = (await (await call("GET", path)).json()) as T;
    const ms = Math.round(performance.now() - before);
    console.log(`${what}: ${ms} ms`);
    expect([what, ms < maxMs]).toEqual([what, true]);
    return answer;
  };
  type Logs = { logs: { line: string }[] };
  const detail = await timed<Logs>("the job with its last lines", "/api/frontend/jobs/j");
  const last = await timed<Logs>("the last 1,000 lines", "/api/frontend/logs/j");
  expect(detail.logs.length).toBe(Math.min(LINES, 1_000));
  expect(last.logs).toEqual(detail.logs);
  const many = await timed<Logs>("the last 100,000 lines", "/api/frontend/logs/j?limit=100000", 10_000);
  expect(many.logs.slice(-1_000)).toEqual(detail.logs);
  await timed("the last lines of all jobs", "/api/frontend/logs?limit=1000");
  const snapshot = await new Promise<Logs>((resolve, reject) => {
    const before = performance.now();
    const socket = new WebSocket(`${url.replace("http", "ws")}/ws/jobs/j/logs`);
    socket.onmessage = ({ data }) => {
      console.log(`snapshot: ${Math.round(performance.now() - before)} ms`);
      resolve(JSON.parse(String(data)).data);
      socket.close();
    };
    socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
  });
  expect(snapshot.logs).toEqual(detail.logs);

  clearInterval(heartbeats);
  const outcome = { modelHash: "", modelSizeBytes: 0, metadata: {}, durationSeconds: 1 };
  await call("POST", "/api/jobs/finish", { nodeId: "node", jobId: "j", ...outcome });
  expect(await socketEnded.promise).toBe("the job has ended");
  const [, , id = ""] = await stream;
  expect([followed.count, followed.missing()]).toEqual([LINES, 0]);
  expect(streamed.hashAfter(0)).toBe(followed.hashAfter(0));

  const resumed = new Numbers();
  const headers = { "last-event-id": id };
  await readAll(await fetch(`${url}/api/frontend/stream-logs/j`, { headers }), resumed);
  expect(resumed.hashAfter(0)).toBe(followed.hashAfter(RESUMED_AFTER));
  const jobs = (await (await call("GET", "/v1/jobs?dialect=shelby")).json()) as { items: { id: number }[] };
  const read = new Numbers();
  const readAt = performance.now();
  await readAll(await call("GET", `/v1/jobs/${jobs.items[0]?.id}/log`), read);
  console.log(`the whole log: ${Math.round(performance.now() - readAt)} ms`);
  expect(read.hashAfter(0)).toBe(followed.hashAfter(0));

  const status = await Bun.file(`/proc/${child.pid}/status`).text();
  const highestMib = Math.round(Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024);
  console.log(`server: ${highestMib} MiB at most`);
  expect(highestMib).toBeLessThan(MAX_MIB);
}, 900_000);
