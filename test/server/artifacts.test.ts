import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { openDirectoryBlobStore } from "../../src/store/blobs/directoryBlobStore.ts";
import { Scratch } from "../cli/yardmasterProcess.ts";
import { startTestServer } from "./testServer.ts";

const hashOf = (bytes: string | Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
const TEXT = "0123456789";
const HASH = hashOf(TEXT);

function put(url: string, hash: string, body: BodyInit) {
  return fetch(`${url}/v1/artifacts/${hash}`, { method: "PUT", body });
}

test("bytes are stored once under their hash and given back whole", async () => {
  await using server = await startTestServer();
  const first = await put(server.url, HASH, TEXT);
  expect([first.status, await first.json()]).toEqual([201, { sha256: HASH, sizeBytes: 10 }]);
  expect((await put(server.url, HASH, TEXT)).status).toBe(200);
  const got = await fetch(`${server.url}/v1/artifacts/${HASH}`);
  expect(got.headers.get("etag")).toBe(`"${HASH}"`);
  expect(await got.text()).toBe(TEXT);
  const head = await fetch(`${server.url}/v1/artifacts/${HASH}`, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, "10"]);
  const known = await fetch(`${server.url}/v1/artifacts/${HASH}`, {
    headers: { "if-none-match": `"${HASH}"` },
  });
  expect(known.status).toBe(304);
});

test("nothing is an artifact too", async () => {
  await using server = await startTestServer();
  expect((await put(server.url, hashOf(""), "")).status).toBe(201);
  const got = await fetch(`${server.url}/v1/artifacts/${hashOf("")}`);
  expect([got.status, await got.text()]).toEqual([200, ""]);
});

test("ranges give their bytes", async () => {
  await using server = await startTestServer();
  await put(server.url, HASH, TEXT);
  const ranges: [string, number, string, string | null][] = [
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=7-", 206, "789", "bytes 7-9/10"],
    ["bytes=-2", 206, "89", "bytes 8-9/10"],
    ["bytes=0-99", 206, TEXT, "bytes 0-9/10"],
    ["bytes=4-2", 200, TEXT, null],
    ["lines=1-2", 200, TEXT, null],
    ["bytes=0-1,4-5", 200, TEXT, null],
  ];
  for (const [range, status, text, contentRange] of ranges) {
    const got = await fetch(`${server.url}/v1/artifacts/${HASH}`, { headers: { range } });
    const answer = [range, got.status, await got.text(), got.headers.get("content-range")];
    expect(answer).toEqual([range, status, text, contentRange]);
  }
  const beyond = await fetch(`${server.url}/v1/artifacts/${HASH}`, { headers: { range: "bytes=10-" } });
  expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, "bytes */10"]);
});

test("bytes of another hash, or too many, are refused and leave nothing behind", async () => {
  await using server = await startTestServer({}, { limits: { maxArtifactBytes: 1_000 } });
  expect((await put(server.url, HASH, "other")).status).toBe(422);
  const large = "x".repeat(1_001);
  expect((await put(server.url, hashOf(large), large)).status).toBe(413);
  const chunked = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let i = 0; i < 11; i++) controller.enqueue(new Uint8Array(100));
      controller.close();
    },
  });
  expect((await put(server.url, HASH, chunked)).status).toBe(413);
  expect(await readdir(join(server.directory, "incoming"))).toEqual([]);
  expect((await fetch(`${server.url}/v1/artifacts/${HASH}`)).status).toBe(404);
  expect(server.errors).toEqual([]);
});

test("many who bring the same bytes at once all succeed", async () => {
  await using server = await startTestServer();
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  const answers = await Promise.all(Array.from({ length: 20 }, () => put(server.url, hashOf(bytes), bytes)));
  for (const answer of answers) expect([200, 201]).toContain(answer.status);
  expect(await (await fetch(`${server.url}/v1/artifacts/${hashOf(bytes)}`)).bytes()).toEqual(bytes);
  expect(await readdir(join(server.directory, "incoming"))).toEqual([]);
});

test("what broken uploads left is gone after a start", async () => {
  await using server = await startTestServer();
  await Bun.write(join(server.directory, "incoming", "half"), "half");
  await openDirectoryBlobStore(server.directory);
  expect(await readdir(join(server.directory, "incoming"))).toEqual([]);
});

test("an upload that breaks off leaves nothing", async () => {
  await using server = await startTestServer();
  const client = new AbortController();
  const endless = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await Bun.sleep(1);
      controller.enqueue(new Uint8Array(1_000));
    },
  });
  const sending = fetch(`${server.url}/v1/artifacts/${HASH}`, {
    method: "PUT",
    body: endless,
    signal: client.signal,
  }).catch(() => null);
  const incoming = join(server.directory, "incoming");
  const deadline = Date.now() + 5_000;
  while ((await readdir(incoming)).length === 0 && Date.now() < deadline) await Bun.sleep(2);
  client.abort();
  await sending;
  while ((await readdir(incoming)).length > 0 && Date.now() < deadline) await Bun.sleep(2);
  expect(await readdir(incoming)).toEqual([]);
});

test("memory stays flat while a large artifact goes in and out", async () => {
  // A process of its own: the client's copies of what it sends and reads are not the server's.
  const scratch = new Scratch();
  try {
    const server = await scratch.start(["serve", "--data", "data"]);
    const piece = new Uint8Array(1 << 20).fill(7);
    const pieces = 512;
    const hasher = new Bun.CryptoHasher("sha256");
    for (let i = 0; i < pieces; i++) hasher.update(piece);
    const hash = hasher.digest("hex");
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < pieces) controller.enqueue(piece);
        else controller.close();
      },
    });
    const before = await highestMib(server.child.pid);
    expect((await put(server.url, hash, body)).status).toBe(201);
    let received = 0;
    const got = await fetch(`${server.url}/v1/artifacts/${hash}`);
    for await (const chunk of got.body ?? []) received += chunk.byteLength;
    expect(received).toBe(pieces << 20);
    expect((await highestMib(server.child.pid)) - before).toBeLessThan(200);
  } finally {
    await scratch.dispose();
  }
}, 60_000);

/** The most memory that a process ever held, in MiB. */
async function highestMib(pid: number): Promise<number> {
  const status = await Bun.file(`/proc/${pid}/status`).text();
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024;
}
