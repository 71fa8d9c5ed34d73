import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { FileHost, head, serveFile } from "./fileHost.ts";
import { faultOf, noise, sha256, TestCache } from "./testCache.ts";

let host: FileHost;
beforeAll(async () => {
  host = await FileHost.start();
});
afterAll(() => host[Symbol.asyncDispose]());

const bytes = noise(300_000);
const sum = sha256(bytes);

async function fetched(
  url: string,
  options: ConstructorParameters<typeof TestCache>[0] = {},
  checksum = sum,
) {
  using cache = new TestCache(options);
  const held = await cache.hold(url, checksum);
  const content = readFileSync(held.path);
  held.release();
  return {
    isRight: sha256(content) === checksum,
    notes: cache.notes,
    mode: statSync(held.path).mode & 0o777,
  };
}

async function fault(url: string, options: ConstructorParameters<typeof TestCache>[0] = {}, checksum = sum) {
  using cache = new TestCache(options);
  const text = await faultOf(cache.hold(url, checksum));
  expect(existsSync(cache.path(checksum))).toBe(false);
  return text;
}

describe("a download", () => {
  test("is checked, and told of in the job's log", async () => {
    const { isRight, notes, mode } = await fetched(`${host.file("/plain", bytes)}?token=secret`);
    expect(isRight).toBe(true);
    expect(mode).toBe(0o500);
    expect(notes).toEqual([`downloading ${host.url("/plain")}?… (0.3 MB)`, "verified"]);
  });

  test("needs no length", async () => {
    expect((await fetched(host.file("/no-length", bytes, { hasLength: false }))).isRight).toBe(true);
  });

  test("goes over redirects, and leaves credentials behind where they lead elsewhere", async () => {
    await using other = await FileHost.start();
    const target = other.file("/target", bytes);
    const near = host.on("/near", (socket) => void socket.end(head(302, { location: target })));
    const start = host.on("/start", (socket) => void socket.end(head(307, { location: "/near" })));
    expect((await fetched(start.replace("//", "//user:pass@"))).isRight).toBe(true);
    const basic = `Basic ${Buffer.from("user:pass").toString("base64")}`;
    expect(host.asked.filter(({ path }) => path === "/near")[0]?.headers.authorization).toBe(basic);
    expect(near).toContain("/near");
    expect(other.asked[0]?.headers.authorization).toBeUndefined();
  });

  test("of an artifact of the agent's server carries the agent's key, and to no other place", async () => {
    await using other = await FileHost.start();
    const target = other.file("/target", bytes);
    host.on(`/v1/artifacts/${sum}`, (socket) => void socket.end(head(302, { location: target })));
    host.file("/elsewhere", bytes);
    const server = { url: host.url(""), apiKey: "agent-key" };
    await fetched(`/v1/artifacts/${sum}`, { server, allowUrlPrefixes: [other.url("/target")] });
    await fetched(host.url("/elsewhere"), { server });
    const keyOf = (path: string) => host.asked.find((asked) => asked.path === path)?.headers["x-api-key"];
    expect(keyOf(`/v1/artifacts/${sum}`)).toBe("agent-key");
    expect(keyOf("/elsewhere")).toBeUndefined();
    expect(other.asked[0]?.headers["x-api-key"]).toBeUndefined();
  });

  test("is tried again after errors of the server, as late as it asks for", async () => {
    const answers = [
      head(503, { "content-length": "0" }),
      head(429, { "content-length": "0", "retry-after": "1" }),
      head(500, { "content-length": "0" }),
    ];
    const url = host.on("/flaky", (socket, asked, count) => {
      const answer = answers[count - 1];
      if (answer === undefined) serveFile(socket, asked, bytes);
      else socket.end(answer);
    });
    const beganMs = performance.now();
    expect((await fetched(url)).isRight).toBe(true);
    expect(performance.now() - beganMs).toBeGreaterThan(990);
    expect(host.count("/flaky")).toBe(4);
  });

  test("goes on where the connection broke", async () => {
    const url = host.on("/breaking", (socket, asked, count) => {
      if (count === 4) return serveFile(socket, asked, bytes, { etag: '"v1"' });
      const start = Number(/\d+/.exec(asked.headers.range ?? "0")?.[0]);
      const length = { "content-length": String(bytes.length - start), etag: '"v1"' };
      const range = { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
      socket.write(start === 0 ? head(200, length) : head(206, { ...length, ...range }));
      socket.write(bytes.subarray(start, start + 50_000), () => setTimeout(() => socket.destroy(), 20));
    });
    expect((await fetched(url)).isRight).toBe(true);
    const requests = host.asked.filter(({ path }) => path === "/breaking").map(({ headers }) => headers);
    expect(requests.map((headers) => headers.range)).toEqual([
      undefined,
      "bytes=50000-",
      "bytes=100000-",
      "bytes=150000-",
    ]);
    expect(requests[1]?.["if-range"]).toBe('"v1"');
  });

  test("begins anew where the file has changed meanwhile", async () => {
    const url = host.on("/changing", (socket, asked, count) => {
      if (count > 1) return serveFile(socket, asked, bytes, { etag: '"v2"' });
      socket.write(head(200, { "content-length": "900000", etag: '"v1"' }));
      socket.write(noise(50_000), () => setTimeout(() => socket.destroy(), 20));
    });
    expect((await fetched(url)).isRight).toBe(true);
  });

  test("begins anew where a server without validators continued something else", async () => {
    const url = host.on("/unsaid", (socket, asked, count) => {
      if (count > 1) return serveFile(socket, asked, bytes);
      socket.write(head(200, { "content-length": String(bytes.length) }));
      socket.write(noise(50_000), () => setTimeout(() => socket.destroy(), 20));
    });
    expect((await fetched(url)).isRight).toBe(true);
  });
});

describe("a download fails with a reason", () => {
  test("that names both checksums", async () => {
    const wrong = sha256("something else");
    expect(await fault(host.file("/wrong", bytes), {}, wrong)).toBe(
      `checksum mismatch: expected ${wrong}, got ${sum} (300000 bytes from ${host.url("/wrong")})`,
    );
  });

  test("where nothing is there", async () => {
    expect(await fault(host.url("/nothing"))).toBe(`404 from ${host.url("/nothing")}`);
  });

  test("after too many redirects", async () => {
    const url = host.on("/loop", (socket) => void socket.end(head(302, { location: "/loop" })));
    expect(await fault(url)).toContain("too many redirects (limit 10)");
    expect(host.count("/loop")).toBe(11);
  });

  test("when a redirect leads nowhere", async () => {
    const url = host.on("/nowhere", (socket) => void socket.end(head(302, { "content-length": "0" })));
    expect(await fault(url)).toBe(`${url}: a redirect without an address to go to`);
    expect(host.count("/nowhere")).toBe(1);
  });

  test("when a redirect leads where it must not", async () => {
    const url = host.on(
      "/sly",
      (socket) => void socket.end(head(302, { location: "http://169.254.169.254/" })),
    );
    expect(await fault(url)).toContain("169.254.169.254 is a link-local or metadata address");
    const file = host.on("/file", (socket) => void socket.end(head(302, { location: "file:///etc/passwd" })));
    expect(await fault(file)).toContain("only http and https");
    const prefix = host.on("/out", (socket) => void socket.end(head(302, { location: "/plain" })));
    expect(await fault(prefix, { allowUrlPrefixes: [prefix] })).toContain("this agent downloads only from");
  });

  test("when it is too large, told or not", async () => {
    const maxBinaryBytes = 100_000;
    expect(await fault(host.file("/large", bytes), { maxBinaryBytes })).toContain(
      "larger than the limit of 100000",
    );
    const url = host.on("/endless", (socket) => {
      socket.write(head(200));
      const more = () => {
        while (!socket.destroyed && socket.write(noise(65_536))) {}
      };
      socket.on("drain", more);
      more();
    });
    expect(await fault(url, { maxBinaryBytes })).toContain("larger than the limit of 100000");
    expect(await fault(host.file("/large", bytes), { cacheBytes: 1_000 })).toContain(
      "larger than the limit of 1000",
    );
  });

  test("when nothing comes for too long, headers or body", async () => {
    const options = { downloadIdleTimeoutMs: 100, downloadMaxTries: 2 };
    const silent = host.on("/silent", () => {});
    expect(await fault(silent, options)).toContain("nothing came for 100 ms");
    const slow = host.on("/stuck", (socket) => void socket.write(head(200, { "content-length": "1000" })));
    expect(await fault(slow, options)).toContain("nothing came for 100 ms");
  });

  test("when it takes longer than it may, though bytes drip", async () => {
    const url = host.on("/drip", (socket) => {
      socket.write(head(200, { "content-length": "100000" }));
      const timer = setInterval(() => socket.write("x"), 20);
      socket.on("close", () => clearInterval(timer));
    });
    expect(await fault(url, { downloadTimeoutMs: 300 })).toContain("not downloaded within 300 ms");
  });

  test("when the length was wrong for all tries", async () => {
    const url = host.on("/short", (socket) => {
      socket.write(head(200, { "content-length": "1000" }));
      socket.end("too short");
    });
    expect(await fault(url, { downloadMaxTries: 2 })).toMatch(
      /\/short: (the connection ended after 9 of 1000 bytes|the answer broke off: the other side (closed|reset) the connection(; 9 bytes were kept)?) \(given up/,
    );
  });

  test("when nobody listens, or the name is none", async () => {
    const options = { downloadMaxTries: 2 };
    expect(await fault("http://127.0.0.1:1/x", options)).toMatch(
      /: (nobody answers there|no connection can be made).*given up after 2 tries/,
    );
    expect(await fault("http://no-such-host.invalid/x", options)).toContain("cannot be resolved");
  });

  test("without a word of passwords", async () => {
    const url = host.url("/nothing").replace("//", "//user:hunter2@");
    expect(await fault(`${url}?key=hunter3`)).not.toMatch(/hunter/);
  });
});

describe("an address's user and password", () => {
  test("are sent as they are written where a percent sign begins no code", async () => {
    let sent: string | undefined;
    const url = host.on("/private", (socket, asked) => {
      sent = asked.headers.authorization;
      socket.end(Buffer.concat([Buffer.from(head(200, { "content-length": String(bytes.length) })), bytes]));
    });
    expect((await fetched(url.replace("//", "//u%:p%40%C3%A4%FF@"))).isRight).toBe(true);
    const expected = Buffer.concat([Buffer.from("u%:p@ä"), Buffer.from([0xff])]);
    expect(sent).toBe(`Basic ${expected.toString("base64")}`);
  });
});

describe("an answer that is encoded, unasked", () => {
  const encodings: readonly (readonly [string, (data: Uint8Array) => Uint8Array])[] = [
    ["gzip", gzipSync],
    ["X-GZIP", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
    ["identity", (data) => data],
  ];
  const answer = (encoding: string, body: Uint8Array, length = body.length): Buffer =>
    Buffer.concat([
      Buffer.from(head(200, { "content-encoding": encoding, "content-length": String(length) })),
      body,
    ]);

  test.each(encodings)("as %s is decoded", async (encoding, encode) => {
    const url = host.on(`/as-${encoding}`, (socket) => void socket.end(answer(encoding, encode(bytes))));
    expect((await fetched(url)).isRight).toBe(true);
  });

  test("is the file itself where that is named so", async () => {
    const archive = gzipSync(bytes);
    const url = host.on("/data.csv.gz", (socket) => void socket.end(answer("x-gzip", archive)));
    expect((await fetched(url, {}, sha256(archive))).isRight).toBe(true);
  });

  test("begins anew where it broke off", async () => {
    const body = gzipSync(bytes);
    const url = host.on("/broken", (socket, _asked, count) => {
      if (count > 1) socket.end(answer("gzip", body));
      else socket.end(answer("gzip", body.subarray(0, 200_000), body.length));
    });
    expect((await fetched(url)).isRight).toBe(true);
    const asked = host.asked.filter(({ path }) => path === "/broken");
    expect(asked.map(({ headers }) => headers.range)).toEqual([undefined, undefined]);
  });

  test("is held to the limit of what it becomes", async () => {
    const body = gzipSync(new Uint8Array(50_000_000));
    const url = host.on("/bomb", (socket) => void socket.end(answer("gzip", body)));
    expect(await fault(url, { maxBinaryBytes: 100_000 })).toContain("larger than the limit of 100000 bytes");
  });

  test("as something else, or badly, is refused with a reason", async () => {
    const odd = host.on("/odd", (socket) => void socket.end(answer("compress, gzip", bytes)));
    expect(await fault(odd)).toContain('its server sent it encoded as "compress, gzip", unasked');
    const bad = host.on("/bad", (socket) => void socket.end(answer("gzip", bytes)));
    expect(await fault(bad, { downloadMaxTries: 2 })).toContain("its encoded data is damaged");
  });
});
