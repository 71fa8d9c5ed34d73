import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { whatsnextDialect } from "../../src/dialects/whatsnext/whatsnextDialect.ts";
import { KEY_ROLES } from "../../src/server/access/apiKey.ts";
import { createKey, keyFilePath, revokeKeys } from "../../src/server/access/keyFile.ts";
import { openTokenSecret, tokenSecretPath } from "../../src/server/access/tokenSecret.ts";
import { fakeEngine } from "./fakeEngine.ts";
import { startTestServer, type TestServer } from "./testServer.ts";

const folder = mkdtempSync(join(tmpdir(), "yardmaster-tokens-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const KEYS = { read: "reader", submit: "submitter", work: "worker", admin: "boss" } as const;
const configuredKeys = KEY_ROLES.map((role) => ({ role, key: KEYS[role] }));

interface Made {
  readonly status: number;
  readonly token: string;
  readonly role: string;
  readonly expiresAt: number;
  readonly detail: string;
}

async function make(url: string, key: string | null, body?: unknown): Promise<Made> {
  const response = await fetch(`${url}/v1/tokens`, {
    method: "POST",
    headers: {
      ...(key === null ? {} : { "x-api-key": key }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { ...((await response.json()) as Omit<Made, "status">), status: response.status };
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await Bun.sleep(5);
  }
}

describe("a server with keys", () => {
  let server: TestServer;
  const secretFile = join(folder, "shared", "token-secret");
  const options = () => ({
    dialects: [whatsnextDialect({ engine: fakeEngine() })],
    access: { configuredKeys, tokenSecretFile: secretFile },
  });
  beforeAll(async () => {
    server = await startTestServer({}, options());
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.each([
    ["read", ["read"]],
    ["submit", ["read", "submit"]],
    ["work", ["read", "work"]],
    ["admin", ["read", "submit", "work", "admin"]],
  ] as const)("a key of the role %s makes tokens of its role or below", async (role, allowed) => {
    for (const asked of KEY_ROLES) {
      const made = await make(server.url, KEYS[role], { role: asked });
      const isAllowed = allowed.some((one) => one === asked);
      expect([asked, made.status]).toEqual([asked, isAllowed ? 201 : 403]);
      if (!isAllowed) expect(made.detail).toContain(`the role of this API key is ${role}`);
    }
    const own = await make(server.url, KEYS[role]);
    expect(own).toMatchObject({ status: 201, role });
    expect(Object.keys(own).sort()).toEqual(["expiresAt", "role", "status", "token"]);
  });

  test("a token lasts an hour unless another time within the bound is asked for", async () => {
    const lifetime = async (body?: unknown) => {
      const { expiresAt } = await make(server.url, KEYS.admin, body);
      return Math.round(expiresAt - Date.now() / 1_000);
    };
    expect(Math.abs((await lifetime()) - 3_600)).toBeLessThan(5);
    expect(Math.abs((await lifetime({ expiresInSeconds: 60 })) - 60)).toBeLessThan(5);
    expect(Math.abs((await lifetime({ role: null, expiresInSeconds: null })) - 3_600)).toBeLessThan(5);
    const refused = await make(server.url, KEYS.admin, { expiresInSeconds: 86_401 });
    expect(refused).toMatchObject({ status: 422, detail: expect.stringContaining("at most 86400 seconds") });
  });

  test.each([
    [{ role: "boss" }],
    [{ expiresInSeconds: 0 }],
    [{ expiresInSeconds: 1.5 }],
    [{ expiresInSeconds: "60" }],
    [{ expiresinseconds: 60 }],
    [[]],
    ["text"],
  ])("%j is refused as invalid", async (body) => {
    expect((await make(server.url, KEYS.admin, body)).status).toBe(422);
  });

  test("tokens are made for keys, not for tokens or strangers", async () => {
    expect((await make(server.url, null)).status).toBe(401);
    expect((await make(server.url, "nobody's")).status).toBe(403);
    const { token } = await make(server.url, KEYS.admin);
    const response = await fetch(`${server.url}/v1/tokens`, { method: "POST", ...bearer(token) });
    expect(response.status).toBe(403);
    expect(await response.text()).toContain("a token makes no other tokens");
  });

  test("a token does what its role may, in every API", async () => {
    const { token } = await make(server.url, KEYS.admin, { role: "read" });
    const status = async (method: string, path: string) =>
      (await fetch(`${server.url}${path}`, { method, ...bearer(token) })).status;
    expect(await status("GET", "/v1/jobs/1")).toBe(200);
    expect(await status("POST", "/v1/jobs")).toBe(403);
    expect(await status("GET", "/projects/x")).toBe(422);
    expect(await status("POST", "/projects/")).toBe(403);
  });

  test("a token that is not good is 401 and told why, in the words of the API", async () => {
    const { token } = await make(server.url, KEYS.admin);
    const [head = "", body = "", signature = ""] = token.split(".");
    const claims = JSON.parse(Buffer.from(body, "base64url").toString());
    const forge = (change: object) => Buffer.from(JSON.stringify(change)).toString("base64url");
    const none = Buffer.from('{"alg":"none"}').toString("base64url");
    const own = openTokenSecret(secretFile);
    const signed = (change: object, secret = own) =>
      new SignJWT({ ...claims, ...change }).setProtectedHeader({ alg: "HS256" }).sign(secret);
    const bad: readonly [string, string, string][] = [
      ["changed", `${head}.${forge({ ...claims, role: "work" })}.${signature}`, "was changed"],
      ["cut", `${head}.${body}.${signature.slice(0, -4)}`, "was changed"],
      ["unsigned", `${none}.${body}.${signature}`, "not made by this server"],
      ["of another secret", await signed({}, new Uint8Array(32)), "was changed"],
      ["of another issuer", await signed({ iss: "else" }), "was changed"],
      ["without an end", await signed({ exp: undefined }), "was changed"],
      ["over", await signed({ exp: Math.floor(Date.now() / 1_000) - 1 }), "has expired"],
      ["of a key that is not known", await signed({ sub: "x" }), "no longer known"],
      ["of a role that is none", await signed({ role: "boss" }), "was changed"],
    ];
    for (const [name, text, reason] of bad) {
      const answer = await fetch(`${server.url}/v1/jobs/1`, bearer(text));
      expect([name, answer.status]).toEqual([name, 401]);
      expect(answer.headers.get("www-authenticate")).toContain('error="invalid_token"');
      expect([name, (await answer.json()) as unknown]).toEqual([
        name,
        expect.objectContaining({ status: 401, detail: expect.stringContaining(reason) }),
      ]);
      const other = await fetch(`${server.url}/projects/x`, bearer(text));
      expect([name, other.status, await other.json()]).toEqual([
        name,
        401,
        { detail: expect.stringContaining(reason) },
      ]);
    }
    expect((await fetch(`${server.url}/v1/jobs/1`, bearer(token))).status).toBe(200);
  });

  test("event streams take a token in the address, other requests do not, and keys never go there", async () => {
    const { token } = await make(server.url, KEYS.read);
    const ask = async (query: string, accept: string) => {
      const response = await fetch(`${server.url}/v1/jobs/1/log?follow=true&${query}`, {
        headers: { accept },
      });
      await response.body?.cancel();
      return response.status;
    };
    const events = "text/event-stream";
    expect(await ask(`access_token=${token}`, events)).toBe(200);
    expect(await ask(`access_token=${token}`, "text/plain")).toBe(401);
    expect(await ask(`access_token=${KEYS.read}`, events)).toBe(401);
    expect(await ask("access_token=", events)).toBe(401);
    expect(await ask(`access_token=${token}&unknown=1`, events)).toBe(422);
  });

  test("a token outlives a restart, and ends with another secret", async () => {
    const { token } = await make(server.url, KEYS.read);
    await using again = await startTestServer({}, options());
    expect((await fetch(`${again.url}/v1/jobs/1`, bearer(token))).status).toBe(200);
    await using other = await startTestServer({}, { access: { configuredKeys } });
    expect((await fetch(`${other.url}/v1/jobs/1`, bearer(token))).status).toBe(401);
  });

  test("a key that is now of a lower role takes its tokens along", async () => {
    const { token } = await make(server.url, KEYS.admin);
    const lowered = [{ role: "read" as const, key: KEYS.admin }];
    await using again = await startTestServer(
      {},
      { access: { configuredKeys: lowered, tokenSecretFile: secretFile } },
    );
    expect((await fetch(`${again.url}/v1/jobs/1`, bearer(token))).status).toBe(401);
  });

  test("nothing of this was a fault of the server", () => expect(server.errors).toEqual([]));
});

test("tokens of a revoked key end when the server notices", async () => {
  const keyFile = keyFilePath(join(folder, "revoked"));
  const keeper = createKey(keyFile, "admin", "stays");
  const { key, stored } = createKey(keyFile, "admin", "goes");
  await using server = await startTestServer({}, { access: { keyFile }, limits: { keyFilePollMs: 5 } });
  const { token } = await make(server.url, key);
  const kept = await make(server.url, keeper.key);
  expect((await fetch(`${server.url}/v1/jobs/1`, bearer(token))).status).toBe(200);
  revokeKeys(keyFile, [stored.id]);
  await until("the token is refused", async () => {
    const response = await fetch(`${server.url}/v1/jobs/1`, bearer(token));
    return response.status === 401;
  });
  expect((await fetch(`${server.url}/v1/jobs/1`, bearer(kept.token))).status).toBe(200);
});

test("a server without keys makes tokens too, which are worth nothing once it has keys", async () => {
  const tokenSecretFile = join(folder, "open", "token-secret");
  await using open = await startTestServer({}, { access: { tokenSecretFile } });
  const made = await make(open.url, null);
  expect(made).toMatchObject({ status: 201, role: "admin" });
  expect((await fetch(`${open.url}/v1/jobs/1`, bearer(made.token))).status).toBe(200);
  await using closed = await startTestServer({}, { access: { tokenSecretFile, configuredKeys } });
  expect((await fetch(`${closed.url}/v1/jobs/1`, bearer(made.token))).status).toBe(401);
});

test("requests with tokens count for the key, bad ones for their address", async () => {
  const access = { configuredKeys, rateLimitPerMinute: 3 };
  await using server = await startTestServer({}, { access });
  const { token } = await make(server.url, KEYS.read);
  const status = async (text: string) => (await fetch(`${server.url}/v1/jobs/1`, bearer(text))).status;
  expect([await status(token), await status(token), await status(token)]).toEqual([200, 200, 429]);
  const bad = `${token.slice(0, -6)}AAAAAA`;
  expect([await status(bad), await status(bad), await status(bad), await status(bad)]).toEqual([
    401, 401, 401, 429,
  ]);
  expect(await status(KEYS.submit)).toBe(200);
});

describe("the secret", () => {
  test("is made once, for its owner alone, also by several at a time", () => {
    const path = tokenSecretPath(join(folder, "fresh"));
    const first = openTokenSecret(path);
    expect(first.byteLength).toBe(32);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(openTokenSecret(path)).toEqual(first);
    expect(readFileSync(path, "utf8").trim()).toBe(Buffer.from(first).toString("base64url"));
  });

  test("that is no secret keeps the server from starting, with words for the operator", () => {
    const path = join(folder, "broken-secret");
    for (const text of ["", "short", "no base64 at all, but long enough to be one, or is it?"]) {
      writeFileSync(path, text);
      expect(() => openTokenSecret(path)).toThrow("does not hold one");
    }
  });
});
