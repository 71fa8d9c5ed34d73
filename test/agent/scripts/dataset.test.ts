/** What a script's log says of its dataset, and a model that does not stay as it is. */
import { describe, expect, test } from "bun:test";
import { appendFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { YardmasterClient } from "@yardmaster/client";
import { sha256OfFile } from "../../../src/agent/binaries/sha256.ts";
import { storeModel } from "../../../src/agent/scripts/storeModel.ts";
import { ServerLink } from "../../../src/agent/serverLink.ts";
import { RememberingLog, temporaryDirectory } from "../testAgent.ts";
import { scriptYard, sha256 } from "./scriptYard.ts";

const READ = 'import os\nprint("read", open(os.environ["DATASET_PATH"]).read())';

describe("a dataset", () => {
  test("that comes gzipped, unasked, is what is inside, and its hash is of that", async () => {
    await using yard = await scriptYard();
    await yard.agent();
    const body = "a,b\n1,2\n";
    using host = Bun.serve({
      ...{ port: 0, hostname: "127.0.0.1" },
      fetch: () => new Response(gzipSync(body), { headers: { "content-encoding": "gzip" } }),
    });
    const url = `http://u%:p@127.0.0.1:${host.port}/iris.csv`;
    for (const hash of [null, sha256(body)]) {
      const job = await yard.run(READ, { dataset: { name: "d", url, ...(hash === null ? {} : { hash }) } });
      expect(job.error).toBeNull();
      expect(await yard.output(job)).toContain("read a,b\n1,2\n");
    }
  });

  test("with a hash and no address is told of", async () => {
    await using yard = await scriptYard();
    await yard.agent();
    const job = await yard.run("print(1)", { dataset: { name: "d", hash: sha256("x") } });
    expect(job.state).toBe("succeeded");
    expect(await yard.output(job)).toContain("the dataset's hash was not used: there is no address");
  });

  test("whose connection breaks is told of in words for its readers", async () => {
    await using yard = await scriptYard();
    await yard.agent({ downloadMaxTries: 2, downloadFirstPauseMs: 5 });
    using broken = Bun.listen({
      ...{ port: 0, hostname: "127.0.0.1" },
      socket: {
        data(socket) {
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n${"x".repeat(500)}`);
          socket.terminate();
        },
      },
    });
    const url = `http://127.0.0.1:${broken.port}/d.csv`;
    const job = await yard.run("open('dataset')", { dataset: { name: "d", url } });
    expect(job.error).toMatch(/the other side (closed|reset) the connection|ended after 500 of 1000 bytes/);
    expect(`${job.error}${await yard.output(job)}`).not.toMatch(/verbose|fetch\(|after 0 bytes/);
  });
});

describe("a model", () => {
  const { signal } = new AbortController();
  async function stored(path: string, onPut: () => void): Promise<{ puts: Uint8Array[]; error: unknown }> {
    const puts: Uint8Array[] = [];
    await using server = Bun.serve({
      ...{ port: 0, hostname: "127.0.0.1" },
      async fetch(request) {
        if (request.method !== "PUT") return new Response(null, { status: 404 });
        onPut();
        const bytes = new Uint8Array(await request.arrayBuffer());
        puts.push(bytes);
        if (request.url.endsWith(sha256(bytes))) return new Response(null, { status: 201 });
        return Response.json(
          { error: { code: "checksum_mismatch", message: "another one" } },
          { status: 422 },
        );
      },
    });
    const client = new YardmasterClient({ baseUrl: server.url.href, maxRetries: 0 });
    const link = new ServerLink({
      ...{ serverUrl: server.url.href, maxRetryPauseMs: 10, log: new RememberingLog() },
      register: async () => {},
    });
    const file = { path, name: "model.bin", bytes: 1 };
    const error = await storeModel(
      file,
      { link, client, maxModelBytes: 1e9 },
      { signal, note: () => {} },
    ).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    link.stop();
    return { puts, error };
  }

  test("is stored piece by piece, as it is", async () => {
    using folder = temporaryDirectory();
    const path = join(folder.path, "model.bin");
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    const large = Buffer.concat(Array<Uint8Array>(50).fill(bytes));
    writeFileSync(path, large);
    const { puts, error } = await stored(path, () => {});
    expect(error).toBeNull();
    expect(puts.map((put) => sha256(put))).toEqual([sha256(large)]);
  });

  test("that changes while it is stored is no model, and the reason says so", async () => {
    using folder = temporaryDirectory();
    const path = join(folder.path, "model.bin");
    writeFileSync(path, new Uint8Array(20_000_000));
    const { error } = await stored(path, () => writeFileSync(path, new Uint8Array(20_000_000).fill(1)));
    expect(String(error)).toContain("output/model.bin: the file changed while it was stored");
  });

  test("that is a link by now is not followed, and one that grows is not read for ever", async () => {
    using folder = temporaryDirectory();
    const secret = join(folder.path, "secret");
    writeFileSync(secret, "secret");
    symlinkSync(secret, join(folder.path, "model.bin"));
    const { puts, error } = await stored(join(folder.path, "model.bin"), () => {});
    expect([puts, String(error)]).toEqual([[], expect.stringContaining("ELOOP")]);
    const file = await import("node:fs/promises").then(({ open }) => open(secret));
    appendFileSync(secret, "more");
    expect(await sha256OfFile(file, signal, 6)).toBe(sha256("secret"));
    await file.close();
  });
});
