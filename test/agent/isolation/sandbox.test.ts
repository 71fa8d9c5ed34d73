import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { AgentOptions } from "../../../src/agent/agentOptions.ts";
import { FakeServer } from "../fakeServer.ts";
import { isAlive } from "../isAlive.ts";
import { agentProcess, type TestAgent, temporaryDirectory, testAgent } from "../testAgent.ts";
import { until } from "../until.ts";
import { cgroupTest, noCgroups, sandboxTest } from "./machine.ts";

const sh = (script: string): string[] => ["sh", "-c", script];

/** An agent that isolates every job. */
function isolatingAgent(server: FakeServer, options: AgentOptions = {}): Promise<TestAgent> {
  return testAgent(server, { isolation: "required", ...options });
}

/** Processes in other user namespaces than ours: those of jobs. */
function isolatedProcesses(): number[] {
  const own = readlinkSync("/proc/self/ns/user");
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      try {
        return pid > 0 && readlinkSync(`/proc/${pid}/ns/user`) !== own && isAlive(pid);
      } catch {
        return false;
      }
    });
}

sandboxTest(
  "a job sees its own workspace, a read-only system, and nothing of the agent or of other jobs",
  async () => {
    await using server = new FakeServer();
    await using test = await isolatingAgent(server, { apiKey: "key-of-the-agent" });
    const other = server.add(sh("echo mine > secret; sleep 30"));
    const [run = ""] = readdirSync(join(test.stateDir, "work"));
    const work = join(test.stateDir, "work", run);
    const secret = join(work, "1", "secret");
    await until(() => existsSync(secret), "the other job has written");
    const job = server.add(
      sh(`echo own > file && cat file; cat ${secret}; ls ${test.stateDir}/journal.ndjson ${test.stateDir}/worker-id;
      touch /usr/x /etc/x /x; cat /etc/shadow; cat /proc/*/environ | tr '\\0' '\\n' | grep -i key-of; kill -9 ${process.pid};
      ls ${test.stateDir} ${work}; echo $HOME; grep CapEff /proc/self/status; true`),
    );
    expect(await server.finished(job)).toMatchObject({ outcome: "succeeded", exitCode: 0 });
    const lines = server.output(job, "stdout").trim().split("\n");
    const workspace = join(work, "2");
    expect(lines).toEqual([
      ...["own", `${test.stateDir}:`, "work", "", `${work}:`, "2", workspace],
      "CapEff:\t0000000000000000",
    ]);
    const errors = server.output(job, "stderr");
    for (const path of ["/usr/x", "/etc/x", "/x"]) {
      expect(errors).toMatch(new RegExp(`'${path}': Read-only file system`));
    }
    expect(existsSync("/usr/x")).toBe(false);
    await until(() => other.state === "running", "the word that the other one runs");
    other.verdict = "cancelled";
  },
);

/** Puts the machine's files right again, should a job have got at them. */
function keptModes(paths: readonly string[]): Disposable & { changed(): string[] } {
  const modes = paths.map((path) => ({ path, mode: statSync(path).mode }));
  const changed = () => modes.filter(({ path, mode }) => statSync(path).mode !== mode);
  return {
    changed: () => changed().map(({ path }) => path),
    [Symbol.dispose]: () => {
      for (const { path, mode } of changed()) chmodSync(path, mode & 0o7777);
    },
  };
}

sandboxTest("a job of root has none of root's ways out", async () => {
  await using server = new FakeServer();
  await using _ = await isolatingAgent(server);
  using devices = keptModes(["/dev/null", "/dev/zero", "/dev/tty"]);
  const hostile = server.add(
    sh(`for file in $(find /proc/sys /sys -type f -writable 2>/dev/null | head -5); do echo "can write $file"; done
      (cat /proc/sys/kernel/hostname > /proc/sys/kernel/hostname) 2>&1
      chmod 600 /dev/null /dev/zero /dev/tty /dev/stdin /proc/1/fd/*; unshare --user --map-root-user true && echo "namespaces of its own"; mount -t tmpfs none /tmp && echo mounted; true`),
  );
  expect(await server.finished(hostile)).toMatchObject({ outcome: "succeeded" });
  expect(server.output(hostile, "stdout")).toMatch(/^\S+: \d+: cannot create \S+: Read-only file system\n$/);
  expect(devices.changed()).toEqual([]);
  const next = server.add(sh("echo nothing > /dev/null && echo fine"));
  await server.finished(next);
  expect(server.output(next, "stdout")).toBe("fine\n");
});

sandboxTest("the network is there only where it is allowed", async () => {
  await using server = new FakeServer();
  const bindReadOnly = [dirname(process.execPath)];
  const call = [process.execPath, "-e", `console.log((await fetch("${server.url}/nothing")).status > 0)`];
  {
    await using _ = await isolatingAgent(server, { bindReadOnly });
    const job = server.add(call);
    expect(await server.finished(job)).toMatchObject({ outcome: "failed" });
    expect(server.output(job, "stderr")).toMatch(/ECONNREFUSED|ConnectionRefused/);
  }
  await using _ = await isolatingAgent(server, { bindReadOnly, jobNetwork: "allow" });
  const job = server.add(call);
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
  expect(server.output(job, "stdout")).toBe("true\n");
});

sandboxTest("nothing of a job's environment reaches what runs outside of its sandbox", async () => {
  await using server = new FakeServer();
  await using _ = await isolatingAgent(server);
  const job = server.add(sh("echo $MARK; sleep 30"));
  const env = { MARK: crypto.randomUUID(), LD_PRELOAD: "/tmp/none.so", PATH: "/usr/bin:/bin" };
  job.spec.env = env;
  await until(() => server.output(job, "stdout") === `${env.MARK}\n`, "it runs with its variables");
  const own = readlinkSync("/proc/self/ns/user");
  const carriers = readdirSync("/proc").filter((pid) => {
    try {
      const isCarrier = readFileSync(`/proc/${pid}/environ`, "latin1").includes(env.MARK);
      const isShown = readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(env.MARK);
      return isShown || (isCarrier && readlinkSync(`/proc/${pid}/ns/user`) === own);
    } catch {
      return false;
    }
  });
  expect(carriers).toEqual([]);
  job.verdict = "cancelled";
});

sandboxTest("an isolated job has the variables of one that is not, and no others", async () => {
  await using server = new FakeServer();
  const names = async (options: AgentOptions): Promise<string[]> => {
    await using _ = await testAgent(server, options);
    const job = server.add(["env"]);
    await server.finished(job);
    const found = server
      .output(job)
      .split("\n")
      .map((line) => line.replace(/=.*/, ""));
    return found.filter((name) => name !== "" && name !== "_").sort();
  };
  const plain = await names({ isolation: "off" });
  expect(plain).toContain("PATH");
  expect(await names({ isolation: "required" })).toEqual(plain);
  expect(await names({ isolation: "off", jobMaxCpuSeconds: 100 })).toEqual(plain);
});

sandboxTest("exit codes and signals come through as without isolation", async () => {
  await using server = new FakeServer();
  await using _ = await isolatingAgent(server);
  const ends = [
    [sh("exit 0"), "succeeded", 0, undefined],
    [sh("exit 7"), "failed", 7, "the program ended with exit code 7"],
    [sh("exit 137"), "failed", 137, "the program ended with exit code 137"],
    [sh("kill -KILL $$"), "failed", 137, "the program was ended by signal SIGKILL"],
    [sh("kill -KILL -1"), "failed", 137, "the program was ended by signal SIGKILL"],
    [sh("kill -INT $$"), "failed", 130, "the program was ended by signal SIGINT"],
    [["none"], "failed", 127, 'the program "none" was not found among what isolated jobs see'],
    [["/etc/passwd"], "failed", 126, 'the program "/etc/passwd" is not executable'],
  ] as const;
  for (const [argv, outcome, exitCode, error] of ends) {
    const result = await server.finished(server.add([...argv]));
    expect([result.outcome, result.exitCode, result.error]).toEqual([outcome, exitCode, error]);
  }
});

sandboxTest(
  "a job's own answer to SIGTERM is heard, and what ignores it is killed with all its children",
  async () => {
    await using server = new FakeServer();
    await using _ = await isolatingAgent(server, { graceMs: 1_000 });
    const polite = server.add(sh('trap "echo bye; exit 9" TERM; while :; do sleep 0.01; done'), {
      timeoutMs: 200,
    });
    expect(await server.finished(polite)).toMatchObject({
      exitCode: 9,
      error: "time limit of 200 ms reached",
    });
    expect(server.output(polite, "stdout")).toBe("bye\n");
    const stubborn = server.add(
      sh(
        'trap "" TERM; (setsid sleep 1000 &) & (while :; do sleep 0.02; done) & while :; do sleep 0.02; done',
      ),
      { timeoutMs: 200 },
    );
    expect(await server.finished(stubborn)).toMatchObject({
      exitCode: 137,
      error: "time limit of 200 ms reached",
    });
    await until(() => isolatedProcesses().length === 0, "nothing of it is left");
  },
);

sandboxTest("a daemon that left its job's group goes with the job", async () => {
  await using server = new FakeServer();
  await using _ = await isolatingAgent(server);
  const job = server.add(sh("(setsid sleep 1000 >/dev/null 2>&1 &) ; (env -i setsid sleep 1000 &) ; exit 0"));
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
  await until(() => isolatedProcesses().length === 0, "the daemons are gone");
});

sandboxTest("kill -9 of the agent ends its jobs, and the next run removes what is left of them", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  const options: AgentOptions = { serverUrl: server.url, stateDir: directory.path, isolation: "required" };
  const agent = agentProcess({ ...options, graceMs: 1_000 });
  const plain = server.add(sh("echo up; sleep 1000"));
  const stubborn = server.add(
    sh('trap "" TERM; echo up; (env -i setsid sleep 1000 &) ; while :; do sleep 0.05; done'),
  );
  await until(() => server.output(plain) !== "" && server.output(stubborn) !== "", "both run");
  expect(isolatedProcesses().length).toBeGreaterThan(4);
  agent.kill("SIGKILL");
  await agent.exited;
  await until(() => isolatedProcesses().length === 0, "both are gone");
  plain.spec.argv = stubborn.spec.argv = ["true"];
  await using test = await isolatingAgent(server, options);
  expect(await server.finished(plain, 2)).toMatchObject({ attempt: 2, outcome: "succeeded" });
  if (noCgroups === null) expect(test.log.lines.join()).toContain("removed control groups");
});

sandboxTest("what is bound is seen, what is hidden in it is not", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  const inside = (name: string): string => join(directory.path, name);
  mkdirSync(inside("keys"));
  mkdirSync(inside("out"));
  for (const name of ["data", "keys/key", "settings"]) writeFileSync(inside(name), `text of ${name}\n`);
  await using _ = await isolatingAgent(server, {
    bindReadOnly: [directory.path],
    bind: [inside("out")],
    hide: [inside("keys"), inside("settings"), inside("not there")],
  });
  const job = server.add(
    sh("cat data; ls keys; cat settings; echo x > data; echo x > keys/x; echo made > out/file"),
  );
  job.spec.cwd = directory.path;
  await server.finished(job);
  expect(server.output(job, "stdout")).toBe("text of data\n");
  expect(readFileSync(inside("out/file"), "utf8")).toBe("made\n");
  expect(readFileSync(inside("data"), "utf8")).toBe("text of data\n");
  expect(existsSync(inside("keys/x"))).toBe(false);
});

sandboxTest("a working directory out of sight is named, with the way to show it", async () => {
  await using server = new FakeServer();
  await using test = await isolatingAgent(server);
  const job = server.add(["pwd"]);
  job.spec.cwd = dirname(test.stateDir) === "/tmp" ? "/var" : dirname(test.stateDir);
  const result = await server.finished(job);
  expect(result).toMatchObject({ outcome: "failed", exitCode: 126 });
  expect(result.error).toContain("isolated jobs do not see the working directory");
  expect(result.error).toContain("--bind");
});

cgroupTest("memory is limited for all of a job together, and the result says so", async () => {
  await using server = new FakeServer();
  await using _ = await isolatingAgent(server, { memoryMb: 10_000 });
  const greedy = server.add(sh("head -c 300000000 /dev/zero | tail -c 300000000 | wc -c"), { memoryMb: 64 });
  const onTmp = server.add(sh("head -c 300000000 /dev/zero > /tmp/file"), { memoryMb: 64 });
  const modest = server.add(sh("head -c 30000000 /dev/zero | tail -c 30000000 | wc -c"), { memoryMb: 64 });
  await server.finished(greedy);
  expect(server.output(greedy, "stdout")).not.toBe("300000000\n");
  expect(await server.finished(onTmp)).toMatchObject({
    outcome: "failed",
    error: "the program used more than its 64 MiB of memory",
  });
  expect(await server.finished(modest)).toMatchObject({ outcome: "succeeded" });
});

cgroupTest("a fork bomb ends at its limit, and other jobs go on", async () => {
  await using server = new FakeServer();
  await using _ = await isolatingAgent(server, { jobMaxProcesses: 60 });
  const bomb = server.add(sh("f() { f | f & }; f; sleep 100"), { timeoutMs: 1_000 });
  await until(() => server.output(bomb, "stderr").includes("fork"), "it is at its limit");
  const other = server.add(sh("for i in 1 2 3; do sleep 0.05; done; echo fine"));
  expect(await server.finished(other)).toMatchObject({ outcome: "succeeded" });
  expect(await server.finished(bomb)).toMatchObject({ error: "time limit of 1000 ms reached" });
  await until(() => isolatedProcesses().length === 0, "nothing of it is left");
});

cgroupTest("CPU time is limited, of one process and of many short ones", async () => {
  await using server = new FakeServer();
  await using _ = await isolatingAgent(server, { jobMaxCpuSeconds: 1 });
  const one = server.add(sh("while :; do :; done"));
  const many = server.add(sh("while :; do (i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done); done"));
  for (const job of [one, many]) {
    expect(await server.finished(job)).toMatchObject({
      outcome: "failed",
      error: "the program used more than its 1 s of CPU time",
    });
  }
});

sandboxTest("an agent that isolates all it runs says so with a label, another does not", async () => {
  const labels = async (options: AgentOptions): Promise<unknown> => {
    await using server = new FakeServer();
    await using test = await testAgent(server, { labels: { team: "ml" }, ...options });
    await test.agent.registered;
    return [...server.workers.values()][0]?.labels;
  };
  expect(await labels({ isolation: "required" })).toEqual({ isolation: "bubblewrap", team: "ml" });
  expect(await labels({ isolation: "auto" })).toEqual({ team: "ml" });
});

test("with auto and nothing that has to be isolated, jobs run as they are", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server, { kinds: ["command"] });
  const job = server.add(sh("readlink /proc/self/ns/user"));
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
  if (existsSync("/proc/self/ns/user")) {
    expect(server.output(job).trim()).toBe(readlinkSync("/proc/self/ns/user"));
  }
});
