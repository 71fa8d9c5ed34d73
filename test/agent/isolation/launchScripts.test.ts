import { describe, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { tmpdir } from "node:os";
import { WHOLE_MARKER } from "../../../src/agent/isolation/bubblewrap.ts";
import {
  KEEPER,
  type KeeperStatus,
  LIMITER,
  readKeeperStatus,
} from "../../../src/agent/isolation/launchScripts.ts";
import { StatusFile } from "../../../src/agent/isolation/statusFile.ts";

const SHELLS = ["dash", "bash", "busybox"].filter((shell) => Bun.which(shell) !== null);

interface Ran {
  readonly status: KeeperStatus;
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | null;
}

async function run(shell: string, script: string, argv: readonly string[], isWhole = true): Promise<Ran> {
  const file = new StatusFile(tmpdir());
  try {
    const program = shell === "busybox" ? ["busybox", "sh"] : [shell];
    const child = Bun.spawn([...program, "-c", script, "keeper", ...argv], {
      stdio: ["ignore", "pipe", "pipe", file.fd],
      env: { ...process.env, [WHOLE_MARKER]: isWhole ? "yes" : "no" },
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    await child.exited;
    return { status: readKeeperStatus(file.read()), stdout, stderr, exitCode: child.exitCode };
  } finally {
    closeSync(file.fd);
  }
}

describe.each(SHELLS)("the keeper under %s", (shell) => {
  const keep = (...argv: string[]): Promise<Ran> => run(shell, KEEPER, ["--", ...argv]);

  test("an exit code of 137 is no death by SIGKILL", async () => {
    const end = { refusal: null, hasBegun: true, exitCode: 137 };
    expect((await keep("sh", "-c", "exit 137")).status).toEqual({ ...end, isSignal: false });
    expect((await keep("sh", "-c", "kill -KILL $$")).status).toEqual({ ...end, isSignal: true });
  });

  test.each(["TERM", "INT", "SEGV", "PIPE", "XCPU", "HUP"])("SIG%s is told as a signal", async (signal) => {
    expect((await keep("sh", "-c", `kill -${signal} $$`)).status.isSignal).toBe(true);
  });

  test("the job's output is its own, and the keeper's words are not in it", async () => {
    const ran = await keep("sh", "-c", "echo out; echo err >&2; kill -KILL $$");
    expect([ran.stdout, ran.stderr]).toEqual(["out\n", "err\n"]);
  });

  test("arguments arrive as they are", async () => {
    const odd = ["a b", "*", "$(date)", "", "--", "x=1", "line\nbreak"];
    const ran = await keep("printf", "%s|", ...odd);
    expect(ran.stdout).toBe(`${odd.join("|")}|`);
  });

  test("a shell's builtin is no program", async () => {
    expect((await keep("cd", "/")).status.refusal).toBe("missing");
    expect((await keep("./none")).status.refusal).toBe("missing");
    expect((await keep("/etc/passwd")).status.refusal).toBe("locked");
  });

  test("a signal to the whole group leaves the keeper there to tell the job's own answer", async () => {
    const ran = await run(shell, KEEPER, [
      "--",
      "sh",
      "-c",
      'trap "exit 9" TERM; kill -TERM $PPID $$; sleep 5',
    ]);
    expect(ran.status).toMatchObject({ exitCode: 9, isSignal: false });
  });

  test("nothing is started in a sandbox that is not whole", async () => {
    const ran = await run(shell, KEEPER, ["--", "echo", "started"], false);
    expect(ran).toMatchObject({ stdout: "", exitCode: 125, status: { hasBegun: false } });
  });

  test("limits hold in the job", async () => {
    const ran = await run(shell, LIMITER, ["cpu-s=7", "core=0", "--", "sh", "-c", "ulimit -S -t; ulimit -c"]);
    expect(ran.stdout).toBe("7\n0\n");
    expect(ran.status).toMatchObject({ hasBegun: true, refusal: null });
  });
});

describe("the status file", () => {
  test("nothing, or half of it, is no end", () => {
    expect(readKeeperStatus("")).toEqual({ refusal: null, hasBegun: false, exitCode: null, isSignal: false });
    expect(readKeeperStatus("begun\n")).toMatchObject({ hasBegun: true, exitCode: null });
    expect(readKeeperStatus("begun\nend 0\nend 0x\n")).toMatchObject({ exitCode: null });
  });

  test("is read at its end only, however much a job wrote there", () => {
    const file = new StatusFile(tmpdir());
    try {
      Bun.spawnSync(["sh", "-c", "echo begun >&3; head -c 5000000 /dev/zero >&3; echo >&3; echo end 3 >&3"], {
        stdio: ["ignore", "ignore", "ignore", file.fd],
      });
      expect(file.read().length).toBe(4_096);
      expect(readKeeperStatus(file.read()).exitCode).toBe(3);
    } finally {
      file.close();
    }
  });
});
