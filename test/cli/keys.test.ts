import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolveConfiguration } from "../../src/cli/configuration.ts";
import { eventually, Scratch } from "./yardmasterProcess.ts";

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch.dispose());

describe("yardmaster keys", () => {
  test("creates a key that is printed once, lists it without the key, and revokes it", async () => {
    const created = await scratch.run(["keys", "create", "--role", "submit", "--name", "ci", "--data", "d"]);
    expect(created.exitCode).toBe(0);
    expect(created.stdout).toMatch(/^ymk_[\w-]{43}\n$/);
    const key = created.stdout.trim();
    expect(created.stderr).not.toContain(key);
    const file = join(scratch.folder, "d/keys.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, "utf8")).not.toContain(key);

    const listed = await scratch.run(["keys", "list", "--data", "d", "--json"]);
    const [entry] = JSON.parse(listed.stdout);
    expect(entry).toEqual({ id: entry.id, name: "ci", role: "submit", createdAt: entry.createdAt });
    expect((await scratch.run(["keys", "list", "--data", "d"])).stdout).toContain(entry.id);

    const unknown = await scratch.run(["keys", "revoke", "key_x", "--data", "d"]);
    expect([unknown.exitCode, unknown.stderr.includes("key_x")]).toEqual([1, true]);
    const revoked = await scratch.run(["keys", "revoke", entry.id, "--data", "d", "--json"]);
    expect(JSON.parse(revoked.stdout)).toEqual({ revoked: [entry.id], left: 0 });
  });

  test("several that are created at the same time are all kept", async () => {
    const create = () => scratch.run(["keys", "create", "--role", "read", "--data", "d", "--json"]);
    const made = await Promise.all(Array.from({ length: 6 }, create));
    const ids = made.map(({ stdout }) => String(JSON.parse(stdout).id)).sort();
    const listed = await scratch.run(["keys", "list", "--data", "d", "--json"]);
    const kept: { id: string }[] = JSON.parse(listed.stdout);
    expect(kept.map(({ id }) => id).sort()).toEqual(ids);
  });

  test("wrong usage and a broken file are told in words, and change nothing", async () => {
    for (const [argv, message] of [
      [["create"], "--role"],
      [["create", "--role", "boss"], "read, submit, work, admin"],
      [["create", "--role", "read", "--name", "two\nlines"], "--name"],
      [["revoke"], "ids"],
      [["steal"], "steal"],
    ] as const) {
      const { exitCode, stderr, stdout } = await scratch.run(["keys", ...argv]);
      expect([argv, exitCode, stdout]).toEqual([argv, 2, ""]);
      expect(stderr).toContain(message);
    }
    expect(existsSync(join(scratch.folder, "yardmaster-data"))).toBe(false);
    await scratch.run(["keys", "create", "--role", "read", "--data", "d"]);
    writeFileSync(join(scratch.folder, "d/keys.json"), "{");
    for (const argv of [
      ["keys", "list"],
      ["serve", "--listen", "127.0.0.1:0"],
    ]) {
      const { exitCode, stderr } = await scratch.run([...argv, "--data", "d"]);
      expect([exitCode, stderr.includes("keys.json is not valid JSON")]).toEqual([1, true]);
    }
  });
});

describe("a server with keys", () => {
  test("doctor says whether the key is one of the server's", async () => {
    const { url } = await scratch.start(["serve", "--data", "d", "--api-key", "read:the-key"]);
    for (const [apiKey, verdict, words] of [
      ["the-key", "ok", "takes the API key"],
      ["another", "fail", "is not known here"],
      ["", "fail", "an API key is required"],
    ] as const) {
      const env = { YARDMASTER_SERVER: url, ...(apiKey === "" ? {} : { YARDMASTER_API_KEY: apiKey }) };
      const { stdout } = await scratch.run(["doctor", "--json", "--listen", "127.0.0.1:0"], env);
      const findings: { check: string; verdict: string; detail: string }[] = JSON.parse(stdout);
      const found = findings.find(({ check }) => check === "access");
      expect([apiKey, found?.verdict, found?.detail]).toEqual([
        apiKey,
        verdict,
        expect.stringContaining(words),
      ]);
    }
  });

  test("an agent that it refuses says so", async () => {
    const { url } = await scratch.start(["serve", "--data", "d", "--api-key", "an-admin"]);
    const env = { YARDMASTER_SERVER: url, YARDMASTER_API_KEY: "another" };
    const agent = scratch.spawn(["agent", "--state-dir", "a"], env);
    const decoder = new TextDecoder();
    let said = "";
    for await (const chunk of agent.stderr) {
      said += decoder.decode(chunk, { stream: true });
      if (said.includes("trying on")) break;
    }
    expect(said).toContain("the server refuses this agent; trying on");
    expect(said).toContain("the API key is not known here");
  });

  test("up gives its agent a key of its own, and jobs run; no key is on a command line or in a log", async () => {
    const argv = ["up", "--data", "data", "--api-key", "opensesame", "--log-level", "debug"];
    const { url, child } = await scratch.start(argv);
    const env = { YARDMASTER_API_KEY: "opensesame" };
    const print = ["submit", "--server", url, "--", "sh", "-c", "echo ran; env"];
    const ended = await scratch.run(print, env);
    expect(ended.exitCode).toBe(0);
    expect(ended.stdout).toStartWith("ran\n");
    expect(ended.stdout).not.toMatch(/opensesame|ymk_|API_KEY/);
    const refused = await scratch.run(["submit", "--server", url, "true"]);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain("an API key is required");
    expect(refused.stderr).toContain("YARDMASTER_API_KEY");
    const wrong = await scratch.run(["jobs", "--server", url], { YARDMASTER_API_KEY: "guess" });
    expect([wrong.exitCode, wrong.stderr.includes("not known")]).toEqual([1, true]);
    const agent = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ")[0];
    expect(readFileSync(`/proc/${agent}/cmdline`, "utf8")).not.toMatch(/opensesame|ymk_/);
    expect(readFileSync(`/proc/${agent}/environ`, "utf8")).toMatch(/YARDMASTER_API_KEY=ymk_/);
    child.kill("SIGTERM");
    const log = await new Response(child.stderr).text();
    expect(log).toContain("/v1/jobs");
    expect(log).not.toMatch(/opensesame|ymk_|guess/);
  });

  test("keys made and revoked while it runs count within a second or two; its agent goes on", async () => {
    const { url } = await scratch.start(["up", "--data", "data"]);
    const status = async (key?: string) =>
      (await fetch(`${url}/v1/jobs`, key === undefined ? {} : { headers: { "x-api-key": key } })).status;
    expect(await status()).toBe(200);
    const made = await scratch.run(["keys", "create", "--role", "admin", "--data", "data", "--json"]);
    const { id, key }: { id: string; key: string } = JSON.parse(made.stdout);
    await eventually("a key is asked for", async () => ((await status()) === 401 ? true : null));
    const env = { YARDMASTER_API_KEY: key };
    expect((await scratch.run(["submit", "--server", url, "echo", "still"], env)).stdout).toBe("still\n");
    await scratch.run(["keys", "revoke", id, "--data", "data"]);
    await eventually("the key is revoked", async () => ((await status(key)) === 403 ? true : null));
    expect(await status()).toBe(401);
  });

  test("an agent of its own needs a key of the role work", async () => {
    const { url } = await scratch.start([
      "serve",
      "--data",
      "d",
      "--api-key",
      "boss,work:w0rk,submit:s0bmit",
    ]);
    scratch.spawn(["agent", "--server", url, "--state-dir", "state"], { YARDMASTER_API_KEY: "w0rk" });
    const env = { YARDMASTER_API_KEY: "s0bmit" };
    expect((await scratch.run(["submit", "--server", url, "echo", "done"], env)).stdout).toBe("done\n");
    const drained = await scratch.run(["workers", "--server", url, "--drain", "x"], env);
    expect([drained.exitCode, drained.stderr.includes("work or admin")]).toEqual([1, true]);
  });

  test("listens where other machines reach it; without keys only when told that this is wanted", async () => {
    const refused = await scratch.run(["serve", "--data", "d", "--listen", "0.0.0.0:0"]);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain("yardmaster keys create");
    for (const extra of [["--insecure"], ["--api-key", "k"]]) {
      const { url, child } = await scratch.start(["serve", "--data", "d", "--listen", "0.0.0.0:0", ...extra]);
      expect(url).toStartWith("http://");
      child.kill("SIGTERM");
      await child.exited;
    }
    await scratch.run(["keys", "create", "--role", "admin", "--data", "d"]);
    await scratch.start(["serve", "--data", "d", "--listen", "0.0.0.0:0"]);
  });
});

describe("settings of access", () => {
  const resolve = (env: Record<string, string>, flags: Record<string, unknown> = {}) =>
    resolveConfiguration({ flags, env, cwd: scratch.folder });

  test("WhatsNext's variables are read in any case, lists trimmed and without empty parts", () => {
    const { values, entries } = resolve({
      API_KEYS: " one, two ,,",
      cors_origins: "https://a.example, http://localhost:3000/",
      Cors_Allow_Credentials: "True",
      cors_allow_methods: "GET,POST",
      CORS_ALLOW_HEADERS: "*",
      rate_limit_per_minute: "60",
    });
    expect(values).toMatchObject({
      apiKeys: [
        { role: "admin", key: "one" },
        { role: "admin", key: "two" },
      ],
      corsOrigins: ["https://a.example", "http://localhost:3000"],
      corsAllowCredentials: true,
      corsAllowMethods: ["GET", "POST"],
      corsAllowHeaders: ["*"],
      rateLimitPerMinute: 60,
    });
    expect(entries.find(({ key }) => key === "api-keys")).toMatchObject({
      value: "***",
      text: "***",
      source: "variable API_KEYS",
    });
  });

  test("pages of the reader's own machine may call unless other sites, or none, are named", () => {
    expect(resolve({}).values.corsOrigins).toEqual(["local"]);
    const both = resolve({}, { corsOrigins: ["local", "https://a.example"] });
    expect(both.values.corsOrigins).toEqual(["local", "https://a.example"]);
    const { values, entries } = resolve({ cors_origins: "none" });
    expect(values.corsOrigins).toEqual([]);
    expect(entries.find(({ key }) => key === "cors-origin")?.text).toBe("none");
    expect(() => resolve({}, { corsOrigins: ["none", "https://a.example"] })).toThrow("--cors-origin");
  });

  test("our own settings win over them, and empty ones are unset", () => {
    const env = { api_keys: "theirs", YARDMASTER_API_KEYS: "read:ours", rate_limit_per_minute: "" };
    expect(resolve(env).values.apiKeys).toEqual([{ role: "read", key: "ours" }]);
    expect(resolve(env, { apiKeys: ["flag"] }).values.apiKeys).toEqual([{ role: "admin", key: "flag" }]);
    expect(resolve(env).values.rateLimitPerMinute).toBe(0);
    const { values, entries } = resolve({ api_keys: " , ", API_KEYS: "" });
    expect(values.apiKeys).toEqual([]);
    expect(entries.find(({ key }) => key === "api-keys")?.source).toBe("default");
  });

  test("a wrong value is named; a wrong key is not repeated", () => {
    expect(() => resolve({ rate_limit_per_minute: "many" })).toThrow(
      "rate_limit_per_minute: expected a whole",
    );
    expect(() => resolve({}, { rateLimitPerMinute: "-1" })).toThrow("--rate-limit-per-minute: expected");
    expect(() => resolve({}, { corsOrigins: ["example.com"] })).toThrow("--cors-origin: expected origins");
    expect(() => resolve({}, { corsOrigins: ["https://a.example/path"] })).toThrow("--cors-origin");
    expect(() => resolve({}, { corsAllowHeaders: ["a b"] })).toThrow("--cors-allow-headers");
    for (const wrong of ["schlüssel", "two words", "admin:"]) {
      const attempt = () => resolve({}, { apiKeys: [wrong] });
      expect(attempt).toThrow("--api-key: expected keys");
      expect(attempt).not.toThrow(wrong);
    }
  });
});
