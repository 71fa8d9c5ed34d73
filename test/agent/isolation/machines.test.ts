/** Machines that give less: no bubblewrap, no control groups, another user than root. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Scratch } from "../../cli/yardmasterProcess.ts";
import { FakeServer } from "../fakeServer.ts";
import { QUICK, temporaryDirectory, testAgent } from "../testAgent.ts";
import { asNobody, cgroupTest, otherUserTest } from "./machine.ts";

const sh = (script: string): string[] => ["sh", "-c", script];
const scratch = new Scratch();
afterAll(() => scratch.dispose());

test("an agent that must isolate does not start without bubblewrap, and says what is missing", async () => {
  const { exitCode, stderr } = await scratch.run(["agent", "--isolation", "required"], { PATH: "/nowhere" });
  expect(exitCode).toBe(1);
  expect(stderr).toContain("isolation is required");
  expect(stderr).toContain(process.platform === "linux" ? "install the package bubblewrap" : "Linux");
});

test("a path to show that is not there is refused at the start", async () => {
  const { exitCode, stderr } = await scratch.run(["agent", "--bind-ro", "/not/there"]);
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain("/not/there does not exist");
});

test("the doctor says what the machine gives, one line each", async () => {
  const { stdout } = await scratch.run(["doctor"]);
  for (const check of ["sandbox", "namespaces", "network", "cgroups", "rlimits"]) {
    expect(stdout).toMatch(new RegExp(`^(ok|warn|fail)  +${check} `, "m"));
  }
  const without = await scratch.run(["doctor"], { PATH: "/nowhere" });
  expect(without.stdout).toMatch(/^warn {2}sandbox .*\n +install the package bubblewrap/m);
});

cgroupTest("limits hold without a sandbox, where they are asked for", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server, {
    isolation: "off",
    jobMaxMemoryMb: 64,
    jobMaxProcesses: 30,
    jobMaxCpuSeconds: 1,
  });
  const greedy = server.add(["dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1"]);
  expect(await server.finished(greedy)).toMatchObject({
    error: "the program used more than its 64 MiB of memory",
  });
  const busy = server.add(sh("while :; do :; done"));
  expect(await server.finished(busy)).toMatchObject({
    error: "the program used more than its 1 s of CPU time",
  });
  const many = server.add(sh("i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done"));
  expect(await server.finished(many)).toMatchObject({ outcome: "failed" });
  const missing = server.add(["none"]);
  expect(await server.finished(missing)).toMatchObject({
    exitCode: 127,
    error: 'the program "none" was not found',
  });
  const signalled = server.add(sh("echo out; kill -TERM $$"));
  expect(await server.finished(signalled)).toMatchObject({
    exitCode: 143,
    error: "the program was ended by signal SIGTERM",
  });
  expect(server.output(signalled, "stdout")).toBe("out\n");
});

otherUserTest("an agent without control groups limits each process of its isolated jobs", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  const stateDir = join(directory.path, "state");
  mkdirSync(stateDir);
  chmodSync(directory.path, 0o755);
  chownSync(stateDir, 65_534, 65_534);
  const options = {
    ...QUICK,
    serverUrl: server.url,
    stateDir,
    isolation: "required",
    jobMaxMemoryMb: 64,
    jobMaxProcesses: 30,
    jobMaxCpuSeconds: 1,
  };
  const program = [process.execPath, join(import.meta.dir, "../agentProcess.ts"), JSON.stringify(options)];
  const agent = Bun.spawn(asNobody(program), { stdio: ["ignore", "inherit", "ignore"] });
  try {
    const fine = server.add(sh("id -u; touch file && echo written; cat /etc/shadow; true"));
    expect(await server.finished(fine)).toMatchObject({ outcome: "succeeded" });
    expect(server.output(fine, "stdout")).toBe("65534\nwritten\n");
    const greedy = server.add(["dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1"]);
    expect(await server.finished(greedy)).toMatchObject({ outcome: "failed", exitCode: 1 });
    expect(server.output(greedy, "stderr")).toContain("memory");
    const bomb = server.add(sh("i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done"));
    expect(await server.finished(bomb)).toMatchObject({ outcome: "failed" });
    expect(server.output(bomb, "stderr")).toContain("fork");
    const busy = server.add(sh("while :; do :; done"));
    expect(await server.finished(busy)).toMatchObject({
      error: "the program used more than its 1 s of CPU time",
    });
  } finally {
    agent.kill("SIGTERM");
    await agent.exited;
  }
});
