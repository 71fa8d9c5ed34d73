/** Tokens of another issuer, whose keys come from a real server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import type { OutsideTokenTimers } from "../../src/server/access/outsideTokens.ts";
import { startTestServer, type TestServer } from "./testServer.ts";

const ISSUER = "https://login.example.com/";
const AUDIENCE = "yard";

/** A login service that publishes keys, and counts who asks for them. */
class Issuer implements Disposable {
  readonly #server: Bun.Server<undefined>;
  keys: JWK[] = [];
  fetches = 0;
  answer: () => Response | Promise<Response> = () => Response.json({ keys: this.keys });

  constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => {
        this.fetches++;
        return this.answer();
      },
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/keys`;
  }

  async addKey(kid: string, alg: string): Promise<CryptoKey> {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    this.keys.push({ ...(await exportJWK(publicKey)), kid, alg, use: "sig" });
    return privateKey;
  }

  [Symbol.dispose]() {
    void this.#server.stop(true);
  }
}

function sign(key: CryptoKey | Uint8Array, kid: string, alg: string, claims: Record<string, unknown> = {}) {
  const now = Math.floor(Date.now() / 1_000);
  const all = { iss: ISSUER, aud: AUDIENCE, sub: "ann", exp: now + 60, role: "read", ...claims };
  return new SignJWT(all).setProtectedHeader({ alg, kid }).sign(key);
}

function startWith(issuer: Issuer, timers: Partial<OutsideTokenTimers> = {}, roleClaim = "role") {
  const jwksUrl = issuer.url;
  const outsideTokens = {
    issuer: ISSUER,
    audience: AUDIENCE,
    jwksUrl,
    roleClaim,
    clockSkewMs: 30_000,
    timers,
  };
  return startTestServer({}, { access: { outsideTokens, configuredKeys: [{ role: "admin", key: "boss" }] } });
}

async function ask(server: TestServer, token: string, path = "/v1/jobs/1", method = "GET") {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

describe("tokens of another issuer", () => {
  const issuer = new Issuer();
  let server: TestServer;
  let key: CryptoKey;
  beforeAll(async () => {
    key = await issuer.addKey("k1", "ES256");
    server = await startWith(issuer);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    issuer[Symbol.dispose]();
  });

  test("count by the role of their claim, and the keys are fetched once", async () => {
    for (let n = 0; n < 5; n++) expect((await ask(server, await sign(key, "k1", "ES256"))).status).toBe(200);
    expect(issuer.fetches).toBe(1);
    expect((await ask(server, await sign(key, "k1", "ES256"), "/v1/jobs", "POST")).status).toBe(403);
    const admin = await sign(key, "k1", "ES256", { role: ["somebody", "read", "admin"] });
    // Let in, and then told that the body is missing.
    expect((await ask(server, admin, "/v1/jobs", "POST")).status).toBe(422);
  });

  test.each([
    ["for somebody else", { aud: "other" }, "aud"],
    ["of another issuer", { iss: "https://evil.example.com/" }, "not of an issuer"],
    ["over", { exp: Math.floor(Date.now() / 1_000) - 60 }, "expired"],
    ["without an end", { exp: undefined }, "exp"],
    ["not begun", { nbf: Math.floor(Date.now() / 1_000) + 300 }, "nbf"],
  ])("%s are 401", async (_name, claims, reason) => {
    const { status, text, headers } = await ask(server, await sign(key, "k1", "ES256", claims));
    expect([status, text]).toEqual([401, expect.stringContaining(reason)]);
    expect(headers.get("www-authenticate")).toContain("invalid_token");
  });

  test("a clock that is a little off is forgiven", async () => {
    const exp = Math.floor(Date.now() / 1_000) - 10;
    expect((await ask(server, await sign(key, "k1", "ES256", { exp }))).status).toBe(200);
  });

  test.each([[undefined], ["boss"], [[]], [{ role: "admin" }], [1]])("the role %j is none", async (role) => {
    const { status, text } = await ask(server, await sign(key, "k1", "ES256", { role }));
    expect([status, text]).toEqual([403, expect.stringContaining("names no role")]);
  });

  test("signatures that a public key could make, and none at all, are not taken", async () => {
    const [published] = issuer.keys;
    const shared = new TextEncoder().encode(JSON.stringify(published));
    expect((await ask(server, await sign(shared, "k1", "HS256"))).status).toBe(401);
    expect((await ask(server, await sign(shared, "k1", "HS512"))).status).toBe(401);
    const head = Buffer.from('{"alg":"none"}').toString("base64url");
    const [, body = ""] = (await sign(key, "k1", "ES256")).split(".");
    expect((await ask(server, `${head}.${body}.AAAA`)).status).toBe(401);
  });

  test("keys count beside tokens, and without either nobody gets in", async () => {
    const own = await fetch(`${server.url}/v1/jobs/1`, { headers: { "x-api-key": "boss" } });
    expect(own.status).toBe(200);
    expect((await fetch(`${server.url}/v1/jobs/1`)).status).toBe(401);
    expect((await ask(server, await sign(key, "k1", "ES256"), "/v1/tokens", "POST")).status).toBe(403);
  });
});

test("a new key of the issuer is fetched when a token names it, not for every unknown name", async () => {
  using issuer = new Issuer();
  const first = await issuer.addKey("k1", "RS256");
  await using server = await startWith(issuer, { unknownKeyPauseMs: 0 });
  expect((await ask(server, await sign(first, "k1", "RS256"))).status).toBe(200);
  const second = await issuer.addKey("k2", "RS256");
  expect((await ask(server, await sign(second, "k2", "RS256"))).status).toBe(200);
  expect(issuer.fetches).toBe(2);

  await using slow = await startWith(issuer);
  expect((await ask(slow, await sign(first, "k1", "RS256"))).status).toBe(200);
  for (let n = 0; n < 5; n++)
    expect((await ask(slow, await sign(second, `x${n}`, "RS256"))).status).toBe(401);
  expect(issuer.fetches).toBe(3);
});

test("a withdrawn key ends when the kept ones are old", async () => {
  using issuer = new Issuer();
  const key = await issuer.addKey("k1", "EdDSA");
  await using server = await startWith(issuer, { keysMaxAgeMs: 0 });
  expect((await ask(server, await sign(key, "k1", "EdDSA"))).status).toBe(200);
  issuer.keys = [];
  expect((await ask(server, await sign(key, "k1", "EdDSA"))).status).toBe(401);
});

test("while the issuer's keys cannot be had the answer is 503, and the issuer is left alone", async () => {
  using issuer = new Issuer();
  const key = await issuer.addKey("k1", "ES256");
  const token = await sign(key, "k1", "ES256");
  for (const answer of [
    () => new Response("no", { status: 500 }),
    () => new Response("{"),
    () => Response.json({ keys: "none" }),
    () => new Promise<Response>(() => {}),
  ]) {
    issuer.answer = answer;
    issuer.fetches = 0;
    await using server = await startWith(issuer, { fetchTimeoutMs: 50, failurePauseMs: 60_000 });
    const { status, headers } = await ask(server, token);
    expect([status, headers.get("retry-after")]).toEqual([503, "60"]);
    expect((await ask(server, token)).status).toBe(503);
    expect(issuer.fetches).toBe(1);
    expect(server.errors).toEqual([]);
  }
});

test("the role can stand inside another claim", async () => {
  using issuer = new Issuer();
  const key = await issuer.addKey("k1", "ES256");
  await using server = await startWith(issuer, {}, "realm_access.roles");
  const token = await sign(key, "k1", "ES256", { role: "admin", realm_access: { roles: ["read"] } });
  expect((await ask(server, token)).status).toBe(200);
  expect((await ask(server, token, "/v1/jobs", "POST")).status).toBe(403);
});
