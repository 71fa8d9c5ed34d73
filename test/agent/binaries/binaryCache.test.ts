import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { testNeeding } from "../../testNeeding.ts";
import { noSmallDisk, smallDisk } from "../smallDisk.ts";
import { until } from "../until.ts";
import { FileHost, head } from "./fileHost.ts";
import { faultOf, noise, sha256, TestCache } from "./testCache.ts";

let host: FileHost;
beforeAll(async () => {
  host = await FileHost.start();
});
afterAll(() => host[Symbol.asyncDispose]());

/** A file at an address of its own. */
function newFile(length = 20_000): { url: string; sum: string; path: string } {
  const bytes = noise(length);
  const sum = sha256(bytes);
  const path = `/${sum}`;
  return { url: host.file(path, bytes), sum, path };
}

/** Fills the cache of a folder in another process, as another agent would. */
function otherAgent(folder: string, url: string, sum: string): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  return Bun.spawn([process.execPath, join(import.meta.dir, "holdingProcess.ts"), folder, url, sum], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function firstLine(child: Bun.Subprocess<"ignore", "pipe", "inherit">): Promise<string> {
  const { value } = await child.stdout.getReader().read();
  return value === undefined ? "" : new TextDecoder().decode(value).trim();
}

describe("the cache", () => {
  test("downloads a binary once", async () => {
    using cache = new TestCache();
    const { url, sum, path } = newFile();
    for (let round = 0; round < 3; round++) (await cache.hold(url, sum)).release();
    expect(host.count(path)).toBe(1);
    expect(cache.notes).toHaveLength(2);
  });

  test("downloads for many at once only once, and different ones beside each other", async () => {
    using cache = new TestCache();
    const { url, sum, path } = newFile(2_000_000);
    const slow = newFile();
    const gate = Promise.withResolvers<void>();
    const slowUrl = host.on("/slow", async (socket) => {
      await gate.promise;
      socket.end(head(404, { "content-length": "0" }));
    });
    const waiting = faultOf(cache.hold(slowUrl, slow.sum));
    await Promise.all(Array.from({ length: 20 }, async () => (await cache.hold(url, sum)).release()));
    expect(host.count(path)).toBe(1);
    gate.resolve();
    expect(await waiting).toContain("404");
  });

  test("tries another job's address where the first one was wrong", async () => {
    using cache = new TestCache();
    const { url, sum } = newFile();
    const wrong = host.on("/wrong-first", (socket) => {
      setTimeout(() => socket.end(head(404, { "content-length": "0" })), 50);
    });
    const [first, second] = await Promise.allSettled([cache.hold(wrong, sum), cache.hold(url, sum)]);
    expect(first.status).toBe("rejected");
    expect(second.status).toBe("fulfilled");
  });

  test("goes on for the others when one stops waiting, and ends the download with the last", async () => {
    using cache = new TestCache();
    const { sum } = newFile();
    let closed = 0;
    const url = host.on("/held", (socket) => {
      socket.write(head(200, { "content-length": "20000" }));
      socket.on("close", () => {
        closed += 1;
      });
    });
    const stops = [new AbortController(), new AbortController()] as const;
    const faults = stops.map(({ signal }) => faultOf(cache.hold(url, sum, signal)));
    await until(() => cache.notes.some((note) => note.startsWith("downloading")), "it downloads");
    stops[0].abort(new Error("cancelled"));
    expect(await faults[0]).toBe("cancelled");
    expect(closed).toBe(0);
    stops[1].abort(new Error("cancelled too"));
    expect(await faults[1]).toBe("cancelled too");
    await until(() => closed === 1, "the connection is closed");
  });

  test.each([
    "../../etc/passwd",
    "A".repeat(64),
    `${"a".repeat(63)}/`,
    "",
    "a".repeat(65),
    `${"a".repeat(64)}\n`,
  ])("knows no file but by a checksum: %j", async (name) => {
    using cache = new TestCache();
    expect(await faultOf(cache.hold(host.url("/x"), name))).toContain("expected a SHA-256");
    expect(readdirSync(cache.folder)).toEqual([]);
  });

  test.each([20_000, 2_000_000])(
    "throws a damaged binary of %d bytes away and fetches it again",
    async (length) => {
      using cache = new TestCache();
      const { url, sum, path } = newFile(length);
      const held = await cache.hold(url, sum);
      held.release();
      chmodSync(held.path, 0o700);
      truncateSync(held.path, length - 1);
      const again = await cache.hold(url, sum);
      expect(sha256(readFileSync(again.path))).toBe(sum);
      expect(host.count(path)).toBe(2);
      expect(cache.log.lines.join()).toContain("damaged");
    },
  );

  test("refuses a folder that others may write in", async () => {
    using cache = new TestCache();
    mkdirSync(join(cache.folder, "sha256"));
    chmodSync(join(cache.folder, "sha256"), 0o777);
    const { url, sum } = newFile();
    expect(await faultOf(cache.hold(url, sum))).toContain("can be written by others");
  });

  test("refuses a folder whose place others may give to another one, but not one in a folder such as /tmp", async () => {
    using cache = new TestCache();
    const { url, sum } = newFile();
    chmodSync(cache.folder, 0o777);
    expect(await faultOf(cache.hold(url, sum))).toContain(`${cache.folder} can be written by others`);
    chmodSync(cache.folder, 0o1777);
    (await cache.hold(url, sum)).release();
  });

  test("leaves no empty parts", async () => {
    using cache = new TestCache();
    await faultOf(cache.hold(host.url("/nowhere"), "a".repeat(64)));
    const large = host.on("/large", (socket) => {
      socket.end(head(200, { "content-length": "1000000", etag: '"1"' }));
    });
    using small = new TestCache({ maxBinaryBytes: 1_000 });
    await faultOf(small.hold(large, "a".repeat(64)));
    for (const { folder } of [cache, small]) expect(readdirSync(join(folder, "sha256", "aa"))).toEqual([]);
  });
});

describe("making room", () => {
  test("removes what was not used for longest", async () => {
    using cache = new TestCache({ cacheBytes: 70_000 });
    const files = [newFile(), newFile(), newFile()] as const;
    for (const { url, sum } of files) {
      (await cache.hold(url, sum)).release();
      await Bun.sleep(5);
    }
    (await cache.hold(files[0].url, files[0].sum)).release();
    const fourth = newFile();
    (await cache.hold(fourth.url, fourth.sum)).release();
    const isThere = [...files, fourth].map(({ sum }) => existsSync(cache.path(sum)));
    expect(isThere).toEqual([true, false, true, true]);
  });

  test("leaves alone what is in use here or by another agent, and comes back below its size afterwards", async () => {
    using cache = new TestCache({ cacheBytes: 50_000 });
    const [mine, theirs, third] = [newFile(), newFile(), newFile()] as const;
    const held = await cache.hold(mine.url, mine.sum);
    const other = otherAgent(cache.folder, theirs.url, theirs.sum);
    expect(await firstLine(other)).toBe("held");
    const more = await cache.hold(third.url, third.sum);
    for (const { sum } of [mine, theirs, third]) expect(existsSync(cache.path(sum))).toBe(true);
    other.kill("SIGKILL");
    await other.exited;
    more.release();
    held.release();
    const sizes = [mine, theirs, third].filter(({ sum }) => existsSync(cache.path(sum)));
    expect(sizes.length).toBe(2);
  });

  test("removes parts that nobody fills", async () => {
    using cache = new TestCache({ cacheBytes: 50_000 });
    const stale = join(cache.folder, "sha256", "ab", `${"ab".repeat(32)}.part`);
    mkdirSync(join(stale, ".."), { recursive: true, mode: 0o700 });
    writeFileSync(stale, noise(40_000));
    utimesSync(stale, 1, 1);
    const { url, sum } = newFile();
    (await cache.hold(url, sum)).release();
    expect(existsSync(stale)).toBe(false);
  });
});

describe("a full disk", () => {
  const diskTest = testNeeding(noSmallDisk());

  diskTest("is a reason to make room, and else to fail with a reason", async () => {
    using disk = smallDisk(800);
    using cache = new TestCache({ cacheDir: disk?.path ?? "" });
    const first = newFile(400_000);
    (await cache.hold(first.url, first.sum)).release();
    const second = newFile(600_000);
    const held = await cache.hold(second.url, second.sum);
    expect(sha256(readFileSync(held.path))).toBe(second.sum);
    expect(existsSync(cache.path(first.sum))).toBe(false);
    // The second one is in use: nothing can go.
    expect(await faultOf(cache.hold(first.url, first.sum))).toContain("no space is left on the agent's disk");
    expect(existsSync(`${cache.path(first.sum)}.part`)).toBe(false);
    held.release();
    (await cache.hold(first.url, first.sum)).release();
  });
});

describe("agents of one machine", () => {
  test("share a download: what one was killed in the middle of, another one finishes", async () => {
    using cache = new TestCache();
    const bytes = noise(500_000);
    const sum = sha256(bytes);
    const url = host.on("/killed", (socket, asked, count) => {
      const start = Number(/\d+/.exec(asked.headers.range ?? "0")?.[0]);
      const common = { "content-length": String(bytes.length - start), etag: '"v1"' };
      if (count > 1) {
        socket.write(head(206, { ...common, "content-range": `bytes ${start}-499999/500000` }));
        socket.end(bytes.subarray(start));
      } else socket.write(Buffer.concat([Buffer.from(head(200, common)), bytes.subarray(0, 200_000)]));
    });
    const other = otherAgent(cache.folder, url, sum);
    const part = `${cache.path(sum)}.part`;
    await until(() => existsSync(part) && statSync(part).size === 200_000, "the other one has begun");
    const waiting = cache.hold(url, sum);
    await until(() => cache.notes.some((note) => note.includes("another agent")), "this one waits");
    other.kill("SIGKILL");
    const held = await waiting;
    expect(sha256(readFileSync(held.path))).toBe(sum);
    expect(host.asked.filter(({ path }) => path === "/killed").map(({ headers }) => headers.range)).toEqual([
      undefined,
      "bytes=200000-",
    ]);
    expect(readdirSync(join(held.path, "..")).sort()).toEqual([sum]);
  });

  test("fetch each binary once, however many ask for it at one time", async () => {
    using cache = new TestCache();
    const files = Array.from({ length: 6 }, () => newFile(300_000));
    const others = [0, 1, 2].map(() =>
      otherAgent(cache.folder, files.map(({ url }) => url).join(), files.map(({ sum }) => sum).join()),
    );
    const held = await Promise.all(files.map(({ url, sum }) => cache.hold(url, sum)));
    for (const other of others) expect(await firstLine(other)).toBe("held");
    for (const [at, { path, sum }] of files.entries()) {
      expect(host.count(path)).toBe(1);
      expect(sha256(readFileSync(held[at]?.path ?? ""))).toBe(sum);
    }
    for (const other of others) other.kill("SIGKILL");
  });
});
