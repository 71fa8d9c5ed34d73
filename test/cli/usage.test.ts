import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
afterAll(() => scratch.dispose());
/** Nobody listens on the discard port of the loopback. */
const NOBODY = "http://127.0.0.1:9";

describe("wrong usage", () => {
  test.each([
    [["sumbit"], "Did you mean submit?"],
    [["jobs", "--stat", "ready"], "Did you mean --state?"],
    [["jobs", "--state", "reddy"], "expected one of waiting, ready"],
    [["jobs", "--limit", "0"], "--limit: expected a whole number from 1 to 1000"],
    [["job"], "missing required argument 'job'"],
    [["submit"], "nothing to run"],
    [["submit", "--task", "1", "--", "true"], "not both"],
    [
      ["submit", "--priority", "high", "true"],
      "--priority: expected foreground, background, best_effort or a whole number",
    ],
    [["submit", "--timeout", "soon", "true"], "--timeout: expected a duration"],
    [["submit", "--at", "someday", "true"], "--at: expected a time"],
    [["submit", "--env", "NOVALUE", "true"], "--env: expected key=value"],
    [["submit", "--task", "1", "-p", "n:=nope"], "-p: n: "],
    [["submit", "--wait", "--detach", "true"], "one of --wait, --follow, --detach"],
    [["serve", "--listen", "8000"], "expected HOST:PORT"],
    [["serve", "--listen", "127.0.0.1:70000"], "a port up to 65535"],
    [["serve", "--listen", "0.0.0.0:0"], "there are no API keys"],
    [["jobs", "--server", "ftp://x"], "is no URL"],
  ])("%p ends with 2 and says why", async (argv, message) => {
    const { exitCode, stdout, stderr } = await scratch.run(argv);
    expect(stderr).toContain(message);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  test("every command has help with an example, and it goes to stdout", async () => {
    const { stdout, exitCode } = await scratch.run(["--help"]);
    expect(exitCode).toBe(0);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) .*\[options\]/gm)].map(([, name]) => name ?? "");
    expect(commands).toContain("submit");
    for (const name of commands.filter((command) => command !== "version")) {
      const help = await scratch.run([name, "--help"]);
      expect(help.stdout).toContain(`  $ yardmaster ${name}`);
      expect(help.exitCode).toBe(0);
    }
  });

  test("help that was asked for ends with 0, help for want of a command with 2", async () => {
    for (const argv of [["help"], ["help", "submit"], ["--version"]]) {
      expect([argv, (await scratch.run(argv)).exitCode]).toEqual([argv, 0]);
    }
    for (const argv of [[], ["keys"]]) expect([argv, (await scratch.run(argv)).exitCode]).toEqual([argv, 2]);
  });

  test("a port that another program has is told as in use", async () => {
    using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const argv = ["doctor", "--listen", `127.0.0.1:${taken.port}`, "--server", NOBODY];
    const { stdout, exitCode } = await scratch.run(argv);
    expect(stdout).toContain(`127.0.0.1:${taken.port} is in use by another program`);
    expect(exitCode).toBe(1);
  });

  test("a state folder that cannot be made is told with the reason", async () => {
    const { stderr, exitCode } = await scratch.run([
      "agent",
      "--server",
      NOBODY,
      "--state-dir",
      "/dev/null/agent",
    ]);
    expect(stderr).toContain("the state directory /dev/null/agent cannot be used: a file is in its place");
    expect(exitCode).toBe(1);
  });

  test("a server that is away ends with 69 and says how to start one", async () => {
    const { stderr, exitCode } = await scratch.run(["jobs", "--server", NOBODY]);
    expect(exitCode).toBe(69);
    expect(stderr).toContain("yardmaster up");
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("the launcher and npx run the command", async () => {
    const root = join(import.meta.dir, "../..");
    const direct = Bun.spawnSync([join(root, "bin/yardmaster"), "version"], { cwd: "/" });
    expect(direct.stdout.toString()).toStartWith("yardmaster 0.");
    const npx = Bun.spawnSync(["npx", "--no-install", "yardmaster", "version"], { cwd: root });
    expect(npx.stdout.toString()).toStartWith("yardmaster 0.");
  });
});
