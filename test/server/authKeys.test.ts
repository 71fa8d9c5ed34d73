import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KEY_ROLES, newApiKey } from "../../src/server/access/apiKey.ts";
import {
  createKey,
  KeyFileError,
  keyFilePath,
  readKeyFile,
  revokeKeys,
} from "../../src/server/access/keyFile.ts";
import { startTestServer, type TestServer } from "./testServer.ts";

const folder = mkdtempSync(join(tmpdir(), "yardmaster-keys-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
function newKeyFile(): string {
  files += 1;
  return keyFilePath(join(folder, String(files)));
}

const KEYS = { read: "reader", submit: "submitter", work: "worker", admin: "boss" } as const;
const configuredKeys = KEY_ROLES.map((role) => ({ role, key: KEYS[role] }));
const withKey = (key: string) => ({ headers: { "x-api-key": key } });
const basic = (user: string, password: string) => `Basic ${btoa(`${user}:${password}`)}`;

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await Bun.sleep(5);
  }
}

describe("a server with keys", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({}, { access: { configuredKeys, ownKey: "own" } });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const status = async (method: string, path: string, headers: Record<string, string>, body?: unknown) => {
    const json = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = body === undefined ? {} : { "content-type": "application/json" };
    return (await fetch(`${server.url}${path}`, { method, headers: { ...headers, ...type }, ...json }))
      .status;
  };

  const sha256 = new Bun.CryptoHasher("sha256").update("").digest("hex");
  const job = { spec: { argv: ["true"] } };
  const claim = { workerId: "w", queues: ["*"], kinds: ["command"], max: 1, waitMs: 0 };
  const capacity = { cpu: 1, accelerators: 0, memoryMb: 0 };
  const everybody = ["read", "submit", "work", "admin"];
  test.each([
    ["GET", "/v1/jobs", undefined, everybody],
    ["HEAD", "/v1/jobs", undefined, everybody],
    ["GET", "/v1/jobs/1", undefined, everybody],
    ["GET", "/v1/jobs/1/log", undefined, everybody],
    ["GET", "/v1/workers", undefined, everybody],
    ["GET", "/v1/stats", undefined, everybody],
    ["GET", "/metrics", undefined, everybody],
    ["POST", "/v1/jobs", job, ["submit", "admin"]],
    ["POST", "/v1/jobs/1/cancel", undefined, ["submit", "admin"]],
    ["POST", "/v1/jobs/1/retry", undefined, ["submit", "admin"]],
    ["DELETE", "/v1/jobs/1", undefined, ["submit", "admin"]],
    ["POST", "/v1/projects", { name: "p" }, ["submit", "admin"]],
    ["POST", "/v1/claims", { ...claim, capacity }, ["work", "admin"]],
    ["POST", "/v1/leases/renew", { workerId: "w", leases: [] }, ["work", "admin"]],
    ["POST", "/v1/results", { workerId: "w", results: [] }, ["work", "admin"]],
    ["POST", "/v1/logs", { workerId: "w", chunks: [] }, ["work", "admin"]],
    ["POST", "/v1/workers/x/drain", undefined, ["work", "admin"]],
    ["POST", "/v1/workers/x/load", { cpuPercent: 1, memoryPercent: 1, gpuPercent: null }, ["work", "admin"]],
    ["PUT", `/v1/artifacts/${sha256}`, undefined, ["submit", "work", "admin"]],
  ] as const)("%s %s takes the roles it names", async (method, path, body, roles) => {
    for (const role of KEY_ROLES) {
      const answered = await status(method, path, { "x-api-key": KEYS[role] }, body);
      const isRefused = answered === 401 || answered === 403;
      expect([role, isRefused]).toEqual([role, !(roles as readonly string[]).includes(role)]);
      expect(answered).toBeLessThan(500);
    }
    expect(await status(method, path, {}, body)).toBe(401);
    expect(await status(method, path, { "x-api-key": "stranger" }, body)).toBe(403);
  });

  test.each(["/", "/healthz", "/readyz", "/docs", "/docs/assets/swagger-ui.css", "/redoc", "/openapi.json"])(
    "%s needs no key",
    async (path) => {
      expect(await status("GET", path, {})).toBe(200);
      expect(await status("GET", path, { "x-api-key": "stranger" })).toBe(200);
    },
  );

  test.each<[string, Record<string, string>, number]>([
    ["X-API-Key", { "x-api-key": KEYS.read }, 200],
    ["Bearer", { authorization: `Bearer ${KEYS.read}` }, 200],
    ["bearer in small letters", { authorization: `bearer  ${KEYS.read} ` }, 200],
    ["the password of Basic", { authorization: basic("anybody", KEYS.read) }, 200],
    ["Basic without a user", { authorization: basic("", KEYS.read) }, 200],
    ["X-API-Key before Authorization", { "x-api-key": KEYS.read, authorization: "Bearer x" }, 200],
    [
      "an empty X-API-Key beside Authorization",
      { "x-api-key": "", authorization: `Bearer ${KEYS.read}` },
      200,
    ],
    ["a wrong key", { "x-api-key": `${KEYS.read}x` }, 403],
    ["the beginning of a key", { "x-api-key": KEYS.read.slice(0, -1) }, 403],
    ["a key in capitals", { "x-api-key": KEYS.read.toUpperCase() }, 403],
    ["a wrong bearer", { authorization: "Bearer nobody" }, 403],
    ["a key as Basic's user", { authorization: basic(KEYS.read, "x") }, 403],
    ["two keys", { "x-api-key": `${KEYS.read}, ${KEYS.admin}` }, 403],
    ["an empty key", { "x-api-key": "" }, 401],
    ["an empty password", { authorization: basic("user", "") }, 401],
    ["Basic without a colon", { authorization: `Basic ${btoa("nocolon")}` }, 401],
    ["Basic that is no Base64", { authorization: "Basic %%%" }, 401],
    ["Bearer without a key", { authorization: "Bearer" }, 401],
    ["a scheme that is not read", { authorization: 'Digest username="x"' }, 401],
    ["a text far too long", { "x-api-key": "x".repeat(5_000) }, 401],
  ])("%s", async (_name, headers, expected) => {
    expect(await status("GET", "/v1/jobs", headers)).toBe(expected);
  });

  test("refusals are problems; 401 says how to send a key, and no answer holds one", async () => {
    const missing = await fetch(`${server.url}/v1/jobs`);
    expect(missing.headers.get("www-authenticate")).toBe(
      'Bearer realm="yardmaster", Basic realm="yardmaster", charset="UTF-8"',
    );
    expect(missing.headers.get("content-type")).toBe("application/problem+json");
    expect(await missing.json()).toMatchObject({ type: "urn:yardmaster:problem:unauthorized", status: 401 });
    const unknown = await fetch(`${server.url}/v1/jobs`, withKey("stranger"));
    const text = await unknown.text();
    expect(JSON.parse(text)).toMatchObject({ status: 403, title: "Forbidden" });
    expect(text).not.toContain("stranger");
    const small = await fetch(`${server.url}/v1/jobs`, { method: "POST", ...withKey(KEYS.read) });
    expect(await small.json()).toMatchObject({
      detail: "the role of this API key is read; this needs submit or admin",
    });
  });

  test("a page's script is not asked by way of the browser's own window", async () => {
    const missing = await fetch(`${server.url}/v1/jobs`, { headers: { "sec-fetch-mode": "cors" } });
    expect(missing.headers.get("www-authenticate")).toBe('Bearer realm="yardmaster"');
  });

  test("without a key nobody learns which paths there are", async () => {
    expect(await status("GET", "/nowhere", {})).toBe(401);
    expect(await status("BREW", "/v1/jobs", {})).toBe(401);
    expect(await status("DELETE", "/v1/jobs", {})).toBe(401);
    expect(await status("GET", "/nowhere", { "x-api-key": KEYS.read })).toBe(404);
    expect(await status("DELETE", "/v1/jobs", { "x-api-key": KEYS.read })).toBe(405);
  });

  test("environment values are in clear for admins alone", async () => {
    for (const role of KEY_ROLES) {
      const text = await (await fetch(`${server.url}/v1/jobs/1`, withKey(KEYS[role]))).text();
      expect([role, text.includes("hunter2")]).toEqual([role, role === "admin"]);
    }
  });

  test("a refused body is not read, and nothing reaches the engine", async () => {
    const before = server.engine.submitted.length;
    expect(await status("POST", "/v1/jobs", { "x-api-key": KEYS.work }, { not: "a job" })).toBe(403);
    expect(await status("POST", "/v1/jobs", {}, job)).toBe(401);
    expect(server.engine.submitted.length).toBe(before);
  });

  test("the key of the agent beside the server works, and does no more", async () => {
    expect(await status("GET", "/v1/jobs", { "x-api-key": "own" })).toBe(200);
    expect(await status("POST", "/v1/jobs", { "x-api-key": "own" }, job)).toBe(403);
  });

  test("the OpenAPI document says who may call what", async () => {
    const { paths, components } = JSON.parse(await (await fetch(`${server.url}/openapi.json`)).text());
    expect(Object.keys(components.securitySchemes)).toEqual(["ApiKey", "Bearer", "Basic"]);
    expect(paths["/healthz"].get.security).toEqual([]);
    expect(paths["/v1/claims"].post.security).toContainEqual({ ApiKey: [] });
    expect(paths["/v1/claims"].post.description).toContain("Roles: work, admin.");
    expect(Object.keys(paths["/v1/jobs"].post.responses)).toEqual(
      expect.arrayContaining(["401", "403", "429"]),
    );
  });

  test("nothing of this was a fault of the server", () => expect(server.errors).toEqual([]));
});

describe("the key file", () => {
  const limits = { keyFilePollMs: 5 };

  test("holds no key, only its hash, and only its owner may read it", async () => {
    const file = newKeyFile();
    const { key, stored } = createKey(file, "work", "node 1");
    const text = await Bun.file(file).text();
    expect(text).not.toContain(key);
    expect(text).toContain(new Bun.CryptoHasher("sha256").update(key).digest("hex"));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readKeyFile(file)).toEqual([stored]);
  });

  test("a running server takes new keys and lets revoked ones in no more, also when none is left", async () => {
    const file = newKeyFile();
    await using server = await startTestServer({}, { access: { keyFile: file, ownKey: "own" }, limits });
    const status = async (key?: string) =>
      (await fetch(`${server.url}/v1/jobs`, key === undefined ? {} : withKey(key))).status;
    expect(await status()).toBe(200);
    const first = createKey(file, "read", "");
    await until("keys are asked for", async () => (await status()) === 401);
    expect(await status(first.key)).toBe(200);
    expect(await status("own")).toBe(200);
    const second = createKey(file, "read", "");
    await until("the second key is known", async () => (await status(second.key)) === 200);
    expect(await status(first.key)).toBe(200);
    revokeKeys(file, [first.stored.id]);
    await until("the first key is revoked", async () => (await status(first.key)) === 403);
    expect(await status(second.key)).toBe(200);
    revokeKeys(file, [second.stored.id]);
    await until("the second key is revoked", async () => (await status(second.key)) === 403);
    expect(await status()).toBe(401);
    rmSync(file);
    const third = createKey(file, "read", "");
    await until("a new file is noticed", async () => (await status(third.key)) === 200);
    expect(server.errors).toEqual([]);
  });

  test("a file that breaks while the server runs changes nothing but the log", async () => {
    const file = newKeyFile();
    const { key } = createKey(file, "read", "");
    await using server = await startTestServer({}, { access: { keyFile: file }, limits });
    writeFileSync(file, "{ broken");
    await until("it is logged", async () => server.errors.length > 0);
    expect(server.errors[0]).toContain("keys.json");
    expect((await fetch(`${server.url}/v1/jobs`, withKey(key))).status).toBe(200);
    expect((await fetch(`${server.url}/v1/jobs`)).status).toBe(401);
  });

  test.each([
    ["{ broken", "not valid JSON"],
    ['{"version":2,"keys":[]}', "version"],
    ['{"version":1,"keys":[{"id":"x"}]}', "keys.0"],
    ['{"version":1,"keys":[{"id":"x","name":"","role":"boss","sha256":"","createdAt":""}]}', "keys.0.role"],
  ])("a server does not start with %s", async (text, message) => {
    const file = newKeyFile();
    createKey(file, "read", "");
    writeFileSync(file, text);
    const failure = await startTestServer({}, { access: { keyFile: file } }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(KeyFileError);
    expect(String(failure)).toContain(message);
    expect(() => createKey(file, "read", "")).toThrow(KeyFileError);
    expect(await Bun.file(file).text()).toBe(text);
  });

  test("revoking takes all or none, and names what is unknown", () => {
    const file = newKeyFile();
    const { stored } = createKey(file, "read", "");
    expect(() => revokeKeys(file, [stored.id, "key_x"])).toThrow("the id key_x");
    expect(readKeyFile(file).length).toBe(1);
    expect(revokeKeys(file, [stored.id])).toBe(0);
  });

  test("keys are long, and no two are the same", () => {
    const keys = new Set(Array.from({ length: 1_000 }, newApiKey));
    expect(keys.size).toBe(1_000);
    for (const key of keys) expect(key).toMatch(/^ymk_[\w-]{43}$/);
  });
});

test("a server without keys asks for none, whatever is sent", async () => {
  await using server = await startTestServer({}, { access: { ownKey: "own" } });
  for (const key of ["", "stranger", "own"]) {
    expect((await fetch(`${server.url}/v1/jobs`, withKey(key))).status).toBe(200);
  }
});
