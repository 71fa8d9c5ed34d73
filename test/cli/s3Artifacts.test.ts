import { afterAll, beforeAll, expect, test } from "bun:test";
import { noise } from "../store/blobStoreConformance.ts";
import { BUCKET, LOGIN, S3Service } from "../store/s3Service.ts";
import { Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
let service: S3Service;
beforeAll(async () => {
  service = await S3Service.start();
});
afterAll(async () => {
  await scratch.dispose();
  await service.dispose();
});

const KEYS = { AWS_ACCESS_KEY_ID: LOGIN.accessKeyId, AWS_SECRET_ACCESS_KEY: LOGIN.secretAccessKey };
const hashOf = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");
const TEXT = "artifacts beyond one machine";
const HASH = hashOf(TEXT);

function serve(data: string, env: Readonly<Record<string, string>> = KEYS) {
  const blobs = ["--blobs", `s3://${BUCKET}/yard`, "--s3-endpoint", service.endpoint];
  return scratch.start(["serve", "--data", data, "--log-level", "silent", ...blobs], env);
}

test("two servers share the artifacts of a bucket, ranges and lengths included; a service that is away gives 503", async () => {
  const first = await serve("one");
  const second = await serve("two");
  const put = await fetch(`${first.url}/v1/artifacts/${HASH}`, { method: "PUT", body: TEXT });
  expect(put.status).toBe(201);
  const got = await fetch(`${second.url}/v1/artifacts/${HASH}`);
  expect([got.headers.get("content-length"), await got.text()]).toEqual([String(TEXT.length), TEXT]);
  const part = await fetch(`${second.url}/v1/artifacts/${HASH}`, { headers: { range: "bytes=10-15" } });
  expect([part.status, await part.text()]).toEqual([206, "beyond"]);
  expect((await fetch(`${second.url}/v1/artifacts/${hashOf("no")}`)).status).toBe(404);
  const wrong = await fetch(`${first.url}/v1/artifacts/${hashOf("no")}`, { method: "PUT", body: "yes" });
  expect(wrong.status).toBe(422);

  await service.stop();
  const away = await fetch(`${second.url}/v1/artifacts/${HASH}`);
  expect([away.status, away.headers.get("retry-after")]).toEqual([503, "5"]);
  expect((await fetch(`${second.url}/readyz`)).status).toBe(200);
  await service.restart();
  expect(await (await fetch(`${second.url}/v1/artifacts/${HASH}`)).text()).toBe(TEXT);
});

test("a download whose service goes away is cut off, not cut short, and the server goes on", async () => {
  const server = await serve("four");
  const bytes = new Uint8Array(noise(60_000_000));
  const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  const put = await fetch(`${server.url}/v1/artifacts/${sha256}`, { method: "PUT", body: new Blob([bytes]) });
  expect(put.status).toBe(201);
  const got = await fetch(`${server.url}/v1/artifacts/${sha256}`);
  const reader = got.body?.getReader();
  let length = (await reader?.read())?.value?.byteLength ?? 0;
  await service.stop();
  const rest = async () => {
    for (;;) {
      const piece = await reader?.read();
      if (piece?.value === undefined) return "ended";
      length += piece.value.byteLength;
    }
  };
  const ending = await rest().catch(() => "cut off");
  // What was under way may have been all of it.
  expect(length === bytes.byteLength ? "cut off" : ending).toBe("cut off");
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  await service.restart();
  expect((await fetch(`${server.url}/v1/artifacts/${sha256}`, { method: "HEAD" })).status).toBe(200);
});

test("a bucket that cannot be used ends the start in words that hold no key", async () => {
  const argv = ["serve", "--listen", "127.0.0.1:0", "--data", "three", "--s3-endpoint", service.endpoint];
  const unknown = { AWS_ACCESS_KEY_ID: "unknown-key", AWS_SECRET_ACCESS_KEY: "unknown-secret" };
  const ended = await scratch.run([...argv, "--blobs", "s3://artifacts/x"], unknown);
  expect(ended.exitCode).toBe(1);
  expect(ended.stderr).toContain("the service does not know the access key");
  expect(ended.stdout + ended.stderr).not.toMatch(/unknown-/);
  const none = await scratch.run([...argv, "--blobs", "s3://artifacts/x"]);
  expect([none.exitCode, none.stderr]).toEqual([1, expect.stringContaining("need keys")]);
  const bad = await scratch.run([...argv, "--blobs", "http://artifacts/x"], KEYS);
  expect([bad.exitCode, bad.stderr]).toEqual([2, expect.stringContaining("s3://bucket/prefix")]);
  const half = await scratch.run([...argv, "--blobs", "s3://artifacts/x"], {
    YARDMASTER_S3_ACCESS_KEY_ID: "unknown-key",
  });
  expect([half.exitCode, half.stderr]).toEqual([2, expect.stringContaining("go together")]);
});

test("keys are masked where the settings are shown", async () => {
  const shown = await scratch.run(["config", "--json"], {
    YARDMASTER_S3_ACCESS_KEY_ID: "shown-key",
    YARDMASTER_S3_SECRET_ACCESS_KEY: "shown-secret",
  });
  expect(shown.exitCode).toBe(0);
  expect(shown.stdout).toContain("s3-secret-access-key");
  expect(shown.stdout).not.toMatch(/shown-/);
});
