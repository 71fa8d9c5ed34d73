import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Scratch } from "./yardmasterProcess.ts";

const PROGRAM = '#!/bin/sh\necho "out: $*"\necho "err: $GREETING" >&2\n[ -z "$CODE" ] || exit $CODE\n';
const SUM = new Bun.CryptoHasher("sha256").update(PROGRAM).digest("hex");

const scratch = new Scratch();
const host = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) =>
    new URL(request.url).pathname === "/tool" ? new Response(PROGRAM) : new Response(null, { status: 404 }),
});
const url = `http://127.0.0.1:${host.port}/tool`;
let server = "";
beforeAll(async () => {
  server = (await scratch.start(["up", "--data", "data", "--cache-dir", "cache", "--cpu", "2"])).url;
  writeFileSync(join(scratch.folder, "tool"), PROGRAM);
});
afterAll(async () => {
  await scratch.dispose();
  await host.stop(true);
});

function submit(...argv: string[]) {
  return scratch.run(["submit", "--server", server, ...argv]);
}

describe("submit --binary-url", () => {
  test("--wait shows outputs, exit code and attempts", async () => {
    const given = ["--binary-url", url, "--sha256", SUM.toUpperCase(), "--priority", "foreground"];
    const env = ["--env", "GREETING=hello", "--env", "CODE=3"];
    const ended = await submit(...given, ...env, "--wait", "--", "arg1", "two words");
    expect(ended.exitCode).toBe(3);
    expect(ended.stdout).toBe("out: arg1 two words\n");
    expect(ended.stderr).toContain("err: hello\n");
    expect(ended.stderr).toContain(`[yardmaster: downloading ${url} (`);
    expect(ended.stderr).toMatch(/ATTEMPT +OUTCOME/);
    expect(ended.stderr).toMatch(/^1 +failed .* 3 /m);
    const id = /^job (\d+) /m.exec(ended.stderr)?.[1] ?? "";
    const logs = await scratch.run(["logs", id, "--server", server]);
    expect(logs.stderr).toMatch(/^\[yardmaster: verified\]$/m);
  });

  test("--json gives the job, with its environment masked", async () => {
    const ended = await submit("--json", "--wait", "--binary-url", url, "--sha256", SUM, "--env", "A=secret");
    expect(JSON.parse(ended.stdout)).toMatchObject({
      kind: "binary",
      name: "tool",
      state: "succeeded",
      exitCode: 0,
      spec: { url, sha256: SUM, args: [], env: { A: "***" } },
    });
  });

  test("tells why a binary cannot be run", async () => {
    const other = "0".repeat(64);
    const ended = await submit("--binary-url", url, "--sha256", other, "--wait");
    expect(ended.exitCode).toBe(1);
    expect(ended.stderr).toContain(`checksum mismatch: expected ${other}, got ${SUM}`);
  });
});

describe("submit --binary", () => {
  test("uploads the file and runs it", async () => {
    const ended = await submit("--binary", "tool", "--priority", "-3", "--wait", "--", "x");
    expect(ended).toMatchObject({ exitCode: 0, stdout: "out: x\n" });
    const stored = await fetch(`${server}/v1/artifacts/${SUM}`);
    expect(await stored.text()).toBe(readFileSync(join(scratch.folder, "tool"), "utf8"));
  });
});

describe("flags that do not go together are refused", () => {
  test.each([
    [["--binary-url", url], "--binary-url needs --sha256"],
    [["--sha256", SUM, "--", "true"], "--sha256: the checksum of what?"],
    [["--binary-url", url, "--sha256", "abc123"], '--sha256: expected 64 hexadecimal digits, got "abc123"'],
    [["--binary-url", "ftp://user:hunter2@x/y", "--sha256", SUM], "--binary-url: expected a URL"],
    [["--binary-url", url, "--binary", "tool", "--sha256", SUM], "give --binary-url or --binary, not both"],
    [["--binary", "tool", "--task", "t"], "give a binary or --task, not both"],
    [["--binary", "tool", "--cwd", "/"], "--cwd: a binary runs in a fresh folder"],
    [["--binary", "nowhere"], '--binary: cannot read "nowhere" (ENOENT)'],
    [["--binary", "tool", "--sha256", "1".repeat(64)], "has the checksum"],
    [["--priority", "urgent", "--", "true"], "--priority: expected foreground, background, best_effort or"],
  ])("%j", async (argv, message) => {
    const ended = await submit(...argv);
    expect(ended.exitCode).toBe(2);
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toContain("hunter2");
  });
});

describe("POST /v1/jobs of the kind binary", () => {
  const good = { url, sha256: SUM };
  test.each([
    [{ sha256: SUM }, "/spec/url"],
    [{ url }, "/spec/sha256"],
    [{ ...good, sha256: "../../etc/passwd" }, "/spec/sha256"],
    [{ ...good, url: "file:///etc/passwd" }, "/spec/url"],
    [{ ...good, url: "/v1/artifacts/../jobs" }, "/spec/url"],
    [{ ...good, args: ["a\0"] }, "/spec/args/0"],
    [{ ...good, env: { "A=B": "c" } }, "/spec/env"],
    [{ ...good, argv: ["x"] }, "/spec/argv"],
  ])("%j is refused", async (spec, path) => {
    const answer = await fetch(`${server}/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ kind: "binary", spec }),
    });
    expect(answer.status).toBe(422);
    expect(await answer.text()).toContain(path);
  });
});
