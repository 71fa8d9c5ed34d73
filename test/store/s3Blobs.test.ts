import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StoreUnavailableError } from "../../src/domain/errors.ts";
import { openBlobStore } from "../../src/store/blobs/openBlobStore.ts";
import { S3_ADDRESS } from "../../src/store/blobs/s3Address.ts";
import { openS3BlobStore, type S3BlobStoreOptions } from "../../src/store/blobs/s3BlobStore.ts";
import { BlobPlaceError } from "../../src/store/blobs/s3Fault.ts";
import { bytesOf, describeBlobStore, hashOf, later, noise, streamOf } from "./blobStoreConformance.ts";
import { type Hindrance, hinderedWay, LOGIN, passOn, S3Service } from "./s3Service.ts";

let service: S3Service;
let folder = "";
let places = 0;
beforeAll(async () => {
  service = await S3Service.start();
  folder = await mkdtemp(join(tmpdir(), "yardmaster-s3-spool-"));
});
afterAll(async () => {
  await service.dispose();
  await rm(folder, { recursive: true, force: true });
});

const ways: ReturnType<typeof hinderedWay>[] = [];
afterEach(() => {
  for (const way of ways.splice(0)) way.dispose();
});
function hinder(hindrance: Hindrance): ReturnType<typeof hinderedWay> {
  const way = hinderedWay(service.endpoint, hindrance);
  ways.push(way);
  return way;
}

function newPlace(options: Partial<S3BlobStoreOptions> = {}): S3BlobStoreOptions {
  const prefix = `place-${++places}/blobs`;
  return { ...service.bucket, prefix, spoolDirectory: join(folder, String(places)), ...options };
}

describeBlobStore(
  "a bucket",
  async () => {
    const place = newPlace();
    return {
      blobs: await openS3BlobStore(place),
      reopen: () => openS3BlobStore(place),
      async leftovers() {
        const found = await service.client.list({ prefix: `${place.prefix}/` });
        const names = (found.contents ?? []).map(({ key }) => key.slice(place.prefix.length + 1));
        return [
          // Marks of what was touched belong to blobs that are there.
          ...names.filter((name) => name !== "yardmaster.txt" && !/^touched\/[0-9a-f]{64}$/.test(name)),
          ...(await readdir(place.spoolDirectory)),
        ];
      },
      dispose: async () => {},
    };
  },
  // Several parts, the last one short.
  { largeBytes: 40_000_000 },
);

describe("a bucket that cannot be used", () => {
  const refusal = (options: Partial<S3BlobStoreOptions>) =>
    openS3BlobStore(newPlace(options)).then(
      () => "opened",
      (error: unknown) => (error instanceof BlobPlaceError ? error.message : String(error)),
    );

  test("is told apart at the start: no such bucket, unknown key", async () => {
    expect(await refusal({ bucket: "nothing-here" })).toMatch(
      /^the artifacts cannot be kept in s3:\/\/nothing-here\/place-\d+\/blobs: the service has no bucket "nothing-here"$/,
    );
    const unknown = { ...LOGIN, accessKeyId: "WHO", secretAccessKey: "very-secret" };
    const message = await refusal({ login: unknown });
    expect(message).toContain("the service does not know the access key");
    expect(message).not.toMatch(/WHO|very-secret/);
  });

  test("is told apart at the start: wrong secret, no right, another region", async () => {
    const answers: readonly (readonly [number, string, string])[] = [
      [403, "SignatureDoesNotMatch", "the secret access key is not the one of the access key"],
      [403, "AccessDenied", "the key may not do this"],
      [301, "PermanentRedirect", "in another region or at another endpoint"],
      [400, "ExpiredToken", "the session token is not valid"],
    ];
    for (const [status, code, words] of answers) {
      const way = hinder(() => new Response(`<Error><Code>${code}</Code></Error>`, { status }));
      expect(await refusal({ endpoint: way.endpoint })).toContain(words);
      // A refusal is not asked for twice.
      expect(way.count).toBe(1);
    }
  });

  test("needs keys, and an address that is one", async () => {
    const place = { dataDir: folder, endpoint: service.endpoint, region: "us-east-1" };
    await expect(openBlobStore({ ...place, address: "s3://bucket/x", login: null })).rejects.toThrow(
      "need keys",
    );
    await expect(openBlobStore({ ...place, address: "s3://B", login: LOGIN })).rejects.toThrow(
      "must look like",
    );
    const good = ["s3://abc", "s3://abc/", "s3://my.bucket-1/a/b", "s3://abc/a/"];
    const bad = ["s3://ab", "s3:///x", "s3://abc//x", "s3://abc/a?b", "http://abc/x", "s3://abc/a b"];
    expect(good.filter((text) => !S3_ADDRESS.test(text))).toEqual([]);
    expect(bad.filter((text) => S3_ADDRESS.test(text))).toEqual([]);
  });
});

describe("a service with faults", () => {
  test("that is away at the start is said, and used as soon as it is there; meanwhile requests are refused", async () => {
    const reasons: string[] = [];
    await service.stop();
    const blobs = await openS3BlobStore(
      newPlace({ onUnreachable: (reason) => reasons.push(reason), maxTries: 2 }),
    );
    expect(reasons).toEqual(["nothing answers at its address"]);
    const refused = await blobs.put(hashOf("a"), streamOf("a"), 10).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(StoreUnavailableError);
    expect(refused).toMatchObject({
      message: "the artifact store cannot be used now: nothing answers at its address",
      retryAfterMs: 5_000,
    });
    await expect(blobs.open(hashOf("a"))).rejects.toBeInstanceOf(StoreUnavailableError);
    await service.restart();
    expect(await blobs.put(hashOf("a"), streamOf("a"), 10)).toEqual({ sizeBytes: 1, isNew: true });
  });

  test("that answers 503 now and then is asked again", async () => {
    const way = hinder((_request, count) =>
      count % 2 === 1 ? new Response("<Error><Code>SlowDown</Code></Error>", { status: 503 }) : null,
    );
    const blobs = await openS3BlobStore(newPlace({ endpoint: way.endpoint }));
    const bytes = noise(300_000);
    await blobs.put(hashOf(bytes), streamOf(bytes), 1_000_000);
    expect(hashOf(await bytesOf(await blobs.open(hashOf(bytes))))).toBe(hashOf(bytes));
  });

  test("that does not answer is given up in time", async () => {
    let isSilent = false;
    const way = hinder(() => (isSilent ? new Promise<Response>(() => {}) : null));
    const blobs = await openS3BlobStore(
      newPlace({ endpoint: way.endpoint, requestTimeoutMs: 200, maxTries: 2 }),
    );
    isSilent = true;
    const began = performance.now();
    const refused = blobs.put(hashOf("b"), streamOf("b"), 10);
    await expect(refused).rejects.toThrow("the service does not answer in time");
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  test("that cuts a download off is asked for the rest", async () => {
    const bytes = noise(3_000_000);
    const asked: (string | null)[] = [];
    const cuts: PromiseWithResolvers<void>[] = [];
    const way = hinder((request) => {
      const range = request.headers.get("range");
      if (request.method !== "GET") return null;
      asked.push(range);
      const cut = cuts[asked.length - 1];
      return cut === undefined ? null : cutOff(service.endpoint, request, cut.promise);
    });
    const blobs = await openS3BlobStore(newPlace({ endpoint: way.endpoint }));
    await blobs.put(hashOf(bytes), streamOf(bytes), 10_000_000);
    asked.length = 0;
    cuts.push(Promise.withResolvers(), Promise.withResolvers());
    const body = (await blobs.open(hashOf(bytes)))?.body(0, bytes.length);
    if (!(body instanceof ReadableStream)) throw new Error("no stream");
    const hasher = new Bun.CryptoHasher("sha256");
    for await (const piece of body) {
      hasher.update(piece);
      // Each time something has come.
      cuts[asked.length - 1]?.resolve();
    }
    expect(hasher.digest("hex")).toBe(hashOf(bytes));
    expect(asked.length).toBe(3);
    expect(asked[0]).toBe("bytes=0-2999999");
    expect(new Set(asked).size).toBe(3);
  });

  test("that stops in the middle of a large upload has nothing of it, and the upload can be sent again", async () => {
    const bytes = noise(12_000_000);
    const hash = hashOf(bytes);
    let isBroken = false;
    const way = hinder((request) =>
      isBroken && /partNumber=[^1]/.test(request.url)
        ? new Response("<Error><Code>InternalError</Code></Error>", { status: 500 })
        : null,
    );
    const place = newPlace({ endpoint: way.endpoint, partBytes: 5 * 1024 * 1024, maxTries: 2 });
    const blobs = await openS3BlobStore(place);
    isBroken = true;
    await expect(blobs.put(hash, streamOf(bytes), 20_000_000)).rejects.toBeInstanceOf(StoreUnavailableError);
    expect(await blobs.open(hash)).toBeNull();
    expect(await readdir(place.spoolDirectory)).toEqual([]);
    isBroken = false;
    expect((await blobs.put(hash, streamOf(bytes), 20_000_000)).isNew).toBe(true);
  });

  test("that has lost its bucket refuses, instead of saying that a blob is not there", async () => {
    let isGone = false;
    const way = hinder(() =>
      isGone ? new Response("<Error><Code>NoSuchBucket</Code></Error>", { status: 404 }) : null,
    );
    const blobs = await openS3BlobStore(newPlace({ endpoint: way.endpoint }));
    isGone = true;
    await expect(blobs.open(hashOf("c"))).rejects.toThrow("the service has no bucket");
  });
});

describe("deleting from a bucket", () => {
  const hash = hashOf("wanted");
  const isFor = (request: Request, method: string, folder: string) =>
    request.method === method && new URL(request.url).pathname.endsWith(`blobs/${folder}${hash}`);
  const passed = (request: Request) => {
    const { pathname, search } = new URL(request.url);
    return passOn(`${service.endpoint}${pathname}${search}`, request);
  };

  test("what somebody asks for while it is to be deleted stays", async () => {
    const place = newPlace();
    const blobs = await openS3BlobStore(place);
    await blobs.put(hash, streamOf("wanted"), 10);
    const since = await later(blobs, hash);
    const way = hinder((request) =>
      isFor(request, "PUT", "deleting/") ? blobs.touch(hash).then(() => passed(request)) : null,
    );
    const deleter = await openS3BlobStore({ ...place, endpoint: way.endpoint });
    // Who asks sees no word of a deletion yet, and who deletes sees the mark.
    expect(await deleter.delete(hash, since)).toBe(false);
    expect(new TextDecoder().decode(await bytesOf(await blobs.open(hash)))).toBe("wanted");
    const left = await service.client.list({ prefix: `${place.prefix}/deleting/` });
    expect(left.contents ?? []).toEqual([]);
  });

  test("what is sent while it is deleted is stored anew, and is not found there before", async () => {
    const place = newPlace();
    const blobs = await openS3BlobStore(place);
    await blobs.put(hash, streamOf("wanted"), 10);
    const since = await later(blobs, hash);
    const { promise: waits, resolve } = Promise.withResolvers<void>();
    const sendersWay = hinder((request) => {
      if (isFor(request, "HEAD", "deleting/")) resolve();
      return null;
    });
    const sender = await openS3BlobStore({ ...place, endpoint: sendersWay.endpoint });
    let putting: Promise<unknown> = Promise.resolve();
    const way = hinder((request) => {
      if (!isFor(request, "DELETE", "")) return null;
      putting = sender.put(hash, streamOf("wanted"), 10);
      return waits.then(() => passed(request));
    });
    const deleter = await openS3BlobStore({ ...place, endpoint: way.endpoint });
    expect(await deleter.delete(hash, since)).toBe(true);
    expect(await putting).toEqual({ sizeBytes: 6, isNew: true });
    expect(new TextDecoder().decode(await bytesOf(await blobs.open(hash)))).toBe("wanted");
  });

  test("is asked for once: another try would delete what came after the first", async () => {
    const place = newPlace();
    const blobs = await openS3BlobStore(place);
    await blobs.put(hash, streamOf("wanted"), 10);
    const since = await later(blobs, hash);
    let asked = 0;
    const way = hinder((request) => {
      if (!isFor(request, "DELETE", "")) return null;
      asked++;
      return passed(request).then(() => new Response(null, { status: 503 }));
    });
    const deleter = await openS3BlobStore({ ...place, endpoint: way.endpoint });
    await expect(deleter.delete(hash, since)).rejects.toBeInstanceOf(StoreUnavailableError);
    expect(asked).toBe(1);
    expect(await blobs.open(hash)).toBeNull();
  });
});

/** The answer of the service, broken off in its middle when that is said. */
async function cutOff(endpoint: string, request: Request, cut: Promise<void>): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const answer = await passOn(`${endpoint}${pathname}${search}`, request);
  const whole = new Uint8Array(await answer.arrayBuffer());
  let isSent = false;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (isSent) {
        await cut;
        return controller.error(new Error("cut off"));
      }
      isSent = true;
      controller.enqueue(whole.subarray(0, whole.byteLength / 2));
    },
  });
  return new Response(body, {
    status: answer.status,
    headers: { "content-length": String(whole.byteLength) },
  });
}
