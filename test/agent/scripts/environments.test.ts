/** Environments without the installers: who builds, who waits, what makes room. */
import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Launch } from "../../../src/agent/runner.ts";
import type { EnvironmentTools } from "../../../src/agent/scripts/buildEnvironment.ts";
import { ENVIRONMENTS_FOLDER, Environments } from "../../../src/agent/scripts/environments.ts";
import { OLDER_ENVIRONMENTS_FOLDER } from "../../../src/agent/scripts/olderEnvironments.ts";
import type { Python } from "../../../src/agent/scripts/python.ts";
import { tryLock } from "../../../src/agent/scripts/sharedLock.ts";
import { asNobody, otherUserTest } from "../isolation/machine.ts";
import { RememberingLog, temporaryDirectory } from "../testAgent.ts";

const PYTHON: Python = {
  ...{ executable: process.execPath, version: "3.11.0", implementation: "CPython", prefix: "/usr" },
  ...{ platform: "linux-x86_64", packages: [] },
};
const ENDED = { exitCode: 0, signal: null, reason: null, error: null };

/** Installers that make no more than an interpreter, and remember that they were asked. */
function pretend(install: (launch: Launch) => Promise<void> | void = () => {}) {
  const launches: Launch[] = [];
  const notes: string[] = [];
  const tools: EnvironmentTools = {
    ...{ uv: null, env: {}, reads: [], signal: new AbortController().signal },
    note: (text) => void notes.push(text),
    step: async (launch, { folder, onOutput }) => {
      launches.push(launch);
      if (launch.argv.includes("venv")) makeInterpreter(folder);
      if (launch.argv.includes("install")) await install(launch);
      onOutput?.("stdout", new TextEncoder().encode('["tinylib==1.0"]\n'));
      return ENDED;
    },
  };
  return { launches, notes, tools };
}

function makeInterpreter(folder: string): void {
  mkdirSync(join(folder, "bin"));
  symlinkSync(PYTHON.executable, join(folder, "bin", "python"));
  writeFileSync(join(folder, "pyvenv.cfg"), "home = /usr/bin\n");
}

function environmentsIn(folder: string, maxEnvironments = 20, log = new RememberingLog()): Environments {
  return new Environments({ folder, maxEnvironments, log });
}

function foldersIn(path: string): string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [entry.name] : [],
  );
}

test("an environment is built once, by whoever comes first, and is another for another Python", async () => {
  using directory = temporaryDirectory();
  const options = { folder: directory.path, maxEnvironments: 20, log: new RememberingLog() };
  // Two agents of one machine.
  const [one, two] = [new Environments(options), new Environments(options)];
  const { launches, tools, notes } = pretend(() => Bun.sleep(20));
  const held = await Promise.all([
    one.take(PYTHON, "tinylib", tools),
    two.take(PYTHON, "tinylib", tools),
    two.take(PYTHON, "tinylib", tools),
  ]);
  expect(new Set(held.map(({ folder }) => folder)).size).toBe(1);
  expect(held[0]?.packages).toEqual(["tinylib==1.0"]);
  expect(launches.filter(({ argv }) => argv.includes("install"))).toHaveLength(1);
  expect(notes.filter((note) => note.includes("waiting"))).not.toHaveLength(0);
  const other = await one.take({ ...PYTHON, version: "3.12.0" }, "tinylib", tools);
  expect(other.folder).not.toBe(held[0]?.folder ?? "");
});

test("one that could not be built is no environment, and is tried again", async () => {
  using directory = temporaryDirectory();
  const environments = new Environments({
    ...{ folder: directory.path, maxEnvironments: 20, log: new RememberingLog() },
  });
  const broken = pretend(async () => {
    throw new Error("no space left");
  });
  await expect(environments.take(PYTHON, "a", broken.tools)).rejects.toThrow("no space left");
  expect(readdirSync(directory.path)).toEqual([]);
  const { folder } = await environments.take(PYTHON, "a", pretend().tools);
  expect(existsSync(`${folder}.json`)).toBe(true);
});

test("a folder that others may write in is not used: they would choose what runs", async () => {
  using directory = temporaryDirectory();
  chmodSync(directory.path, 0o777);
  const environments = new Environments({
    ...{ folder: directory.path, maxEnvironments: 2, log: new RememberingLog() },
  });
  const taken = environments.take(PYTHON, "a", pretend().tools);
  await expect(taken).rejects.toThrow("can be written by others");
});

test("those used longest ago make room; one in use stays", async () => {
  using directory = temporaryDirectory();
  const environments = new Environments({
    ...{ folder: directory.path, maxEnvironments: 2, log: new RememberingLog() },
  });
  const take = (requirements: string) => environments.take(PYTHON, requirements, pretend().tools);
  const held = await take("a");
  for (const requirements of ["b", "c", "d"]) {
    // The order of use is told by times of files.
    await Bun.sleep(15);
    (await take(requirements)).release();
  }
  expect(foldersIn(directory.path)).toHaveLength(2);
  expect(existsSync(held.folder ?? "")).toBe(true);
  held.release();
  await Bun.sleep(15);
  (await take("e")).release();
  await environments.settled();
  expect(existsSync(held.folder ?? "")).toBe(false);
});

const VICTIM = "nobody writes here\n";

test("what a package's own code puts into its environment is never written, read or followed", async () => {
  using directory = temporaryDirectory();
  const victim = join(directory.path, "victim");
  writeFileSync(victim, VICTIM);
  utimesSync(victim, 1, 1);
  const environments = environmentsIn(join(directory.path, "environments"));
  const { tools } = pretend(({ cwd }) => {
    for (const name of [".complete.new", ".complete", ".cache", "marker.json"]) {
      symlinkSync(victim, join(cwd, name));
    }
    rmSync(join(cwd, ".build"), { recursive: true });
    symlinkSync(directory.path, join(cwd, ".build"));
  });
  (await environments.take(PYTHON, "a", tools)).release();
  const again = await environments.take(PYTHON, "a", tools);
  again.release();
  expect(readFileSync(victim, "utf8")).toBe(VICTIM);
  expect(Bun.file(victim).lastModified).toBe(1_000);
  expect(again.packages).toEqual(["tinylib==1.0"]);
});

test("a pipe in the place of a marker holds nobody up", async () => {
  using directory = temporaryDirectory();
  const pipes = `
    for (const name of [".complete", ".complete.new"]) Bun.spawnSync(["mkfifo", join(folder, name)]);`;
  const script = agentScript(
    pipes,
    `
    const first = await environments.take(python, "a", tools);
    first.release();
    // Where somebody could write beside the environments, as on a machine without isolation.
    for (const ending of [".json", ".json.new"]) {
      rmSync(first.folder + ending, { force: true });
      Bun.spawnSync(["mkfifo", first.folder + ending]);
    }
    (await environments.take(python, "a", tools)).release();
    console.log("done");`,
  );
  const file = join(directory.path, "agent.ts");
  writeFileSync(file, script);
  const child = Bun.spawn([process.execPath, file, join(directory.path, "environments"), process.execPath], {
    stdout: "pipe",
    stderr: "inherit",
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
  expect(await new Response(child.stdout).text()).toBe("done\n");
});

/** A program that uses environments in a process of its own: what installing does, and what it does with them. */
function agentScript(installs: string, uses: string): string {
  return `
    import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
    import { join } from "node:path";
    import { ENVIRONMENTS_FOLDER, Environments } from ${JSON.stringify(moduleUrl("environments.ts"))};
    const [folder, executable] = process.argv.slice(-2);
    const log = { info() {}, warn: console.error, error() {} };
    const environments = new Environments({ folder, maxEnvironments: 1, log });
    const python = { executable, version: "3", implementation: "C", prefix: "/usr", platform: "x", packages: [] };
    const tools = {
      uv: null, env: {}, reads: [], signal: new AbortController().signal, note() {},
      step: async (launch, { folder, onOutput }) => {
        if (launch.argv.includes("venv")) {
          mkdirSync(join(folder, "bin"));
          symlinkSync(executable, join(folder, "bin", "python"));
          writeFileSync(join(folder, "pyvenv.cfg"), "x");
        }
        if (launch.argv.includes("install")) {${installs}
        }
        onOutput?.("stdout", new TextEncoder().encode("[]"));
        return { exitCode: 0, signal: null, reason: null, error: null };
      },
    };${uses}
  `;
}

function moduleUrl(name: string): string {
  return pathToFileURL(join(import.meta.dir, "../../../src/agent/scripts", name)).href;
}

const DAMAGES: readonly [string, (folder: string) => void][] = [
  ["its bin/python is gone", (folder) => rmSync(join(folder, "bin", "python"))],
  [
    "its bin/python is gone",
    (folder) => {
      rmSync(join(folder, "bin", "python"));
      symlinkSync("/nowhere/python", join(folder, "bin", "python"));
    },
  ],
  [
    "its bin/python cannot be run",
    (folder) => {
      rmSync(join(folder, "bin", "python"));
      writeFileSync(join(folder, "bin", "python"), "", { mode: 0o700 });
    },
  ],
  [
    "its bin/python is /etc/passwd",
    (folder) => {
      rmSync(join(folder, "bin", "python"));
      symlinkSync("/etc/passwd", join(folder, "bin", "python"));
    },
  ],
  ["its pyvenv.cfg is gone", (folder) => writeFileSync(join(folder, "pyvenv.cfg"), "")],
  ["its folder is gone", (folder) => rmSync(folder, { recursive: true })],
  [
    "its folder is gone",
    (folder) => {
      rmSync(folder, { recursive: true });
      symlinkSync(join(folder, "..", "nowhere"), folder);
    },
  ],
];

test.each(DAMAGES)("a damaged environment is made anew: %s", async (why, damage) => {
  using directory = temporaryDirectory();
  const log = new RememberingLog();
  const environments = environmentsIn(directory.path, 20, log);
  const first = await environments.take(PYTHON, "a", pretend().tools);
  first.release();
  damage(first.folder ?? "");
  const { notes, launches, tools } = pretend();
  const second = await environments.take(PYTHON, "a", tools);
  expect(existsSync(second.python)).toBe(true);
  expect(launches).not.toHaveLength(0);
  expect(notes.join("\n")).toContain("damaged (");
  expect(log.lines.join("\n")).toContain("an environment was damaged and is made anew");
  if (!why.includes("passwd")) expect(notes.join("\n")).toContain(`damaged (${why}`);
  second.release();
  const third = pretend();
  (await environments.take(PYTHON, "a", third.tools)).release();
  expect(third.launches).toEqual([]);
});

test("a damaged environment that others use is made anew when they have ended", async () => {
  using directory = temporaryDirectory();
  const environments = environmentsIn(directory.path);
  const held = await environments.take(PYTHON, "a", pretend().tools);
  rmSync(held.python);
  const { promise: isWaiting, resolve: waits } = Promise.withResolvers<string>();
  const { tools, launches } = pretend();
  const taking = environments.take(PYTHON, "a", { ...tools, note: waits });
  expect(await isWaiting).toContain("damaged, and other jobs use it");
  expect(launches).toEqual([]);
  held.release();
  expect(existsSync((await taking).python)).toBe(true);
});

test("an environment that does not work when it is made fails the job, and is not kept", async () => {
  using directory = temporaryDirectory();
  const { tools } = pretend(({ cwd }) => rmSync(join(cwd, "bin", "python")));
  const taken = environmentsIn(directory.path).take(PYTHON, "a", tools);
  await expect(taken).rejects.toThrow("the environment does not work: its bin/python is gone");
  expect(readdirSync(directory.path)).toEqual([]);
});

test("what was in use makes room when it is not used any more, and no lock of it stays", async () => {
  using directory = temporaryDirectory();
  const environments = environmentsIn(directory.path, 1);
  const first = await environments.take(PYTHON, "a", pretend().tools);
  const second = await environments.take(PYTHON, "b", pretend().tools);
  expect(foldersIn(directory.path)).toHaveLength(2);
  second.release();
  await environments.settled();
  const [left = ""] = foldersIn(directory.path);
  expect(first.folder).toEndWith(left);
  expect(readdirSync(directory.path).sort()).toEqual([left, `${left}.json`, `${left}.lock`]);
});

test("what agents left that were killed, or were older, is removed; what another agent builds is not", async () => {
  using directory = temporaryDirectory();
  const [killed, older, building] = ["a", "b", "c"].map((letter) => letter.repeat(64));
  for (const key of [killed, older, building]) mkdirSync(join(directory.path, key ?? ""));
  writeFileSync(join(directory.path, older ?? "", ".complete"), "{}");
  writeFileSync(join(directory.path, `${"d".repeat(64)}.lock`), "");
  writeFileSync(join(directory.path, `${"e".repeat(64)}.json.new`), "");
  const other = tryLock(join(directory.path, `${building}.lock`), "exclusive");
  const environments = environmentsIn(directory.path);
  const { folder, release } = await environments.take(PYTHON, "a", pretend().tools);
  const expected = [building, `${building}.lock`, `${folder}`, `${folder}.json`, `${folder}.lock`];
  const names = expected.map((path) => path?.split("/").at(-1) ?? "").sort();
  expect(readdirSync(directory.path).sort()).toEqual(names);
  release();
  other?.release();
});

test("locks that are removed when they are let go of still keep processes out", async () => {
  using directory = temporaryDirectory();
  const file = join(directory.path, "locker.ts");
  writeFileSync(
    file,
    `
    import { closeSync, openSync, rmSync } from "node:fs";
    import { tryLock } from ${JSON.stringify(moduleUrl("sharedLock.ts"))};
    const [lockFile, inside] = process.argv.slice(-2);
    let rounds = 0;
    while (rounds < 300) {
      const lock = tryLock(lockFile, "exclusive");
      if (lock === null) continue;
      closeSync(openSync(inside, "wx"));
      rmSync(inside);
      lock.removeAndRelease();
      rounds += 1;
    }
    console.log("kept out");
  `,
  );
  const paths = [join(directory.path, "lock"), join(directory.path, "inside")];
  const said = await Promise.all(
    [1, 2, 3].map(async () => {
      const child = Bun.spawn([process.execPath, file, ...paths], { stdout: "pipe", stderr: "inherit" });
      return new Response(child.stdout).text();
    }),
  );
  expect(said).toEqual(["kept out\n", "kept out\n", "kept out\n"]);
  expect(existsSync(join(directory.path, "lock"))).toBe(false);
});

otherUserTest(
  "folders without the right to write are removed too, by an agent that is not root",
  async () => {
    using directory = temporaryDirectory();
    chmodSync(directory.path, 0o755);
    const environments = join(directory.path, "environments");
    mkdirSync(environments, { mode: 0o700 });
    chownSync(environments, 65_534, 65_534);
    const file = join(directory.path, "agent.ts");
    const installs = `
    mkdirSync(join(folder, "locked"));
    writeFileSync(join(folder, "locked", "file"), "");
    chmodSync(join(folder, "locked"), 0o500);`;
    writeFileSync(
      file,
      agentScript(
        installs,
        `
    const first = await environments.take(python, "a", tools);
    first.release();
    rmSync(first.python);
    (await environments.take(python, "a", tools)).release();
    (await environments.take(python, "b", tools)).release();
    await environments.settled();
    console.log(readdirSync(folder).length);`,
      ),
    );
    const child = Bun.spawn(asNobody([process.execPath, file, environments, process.execPath]), {
      stdout: "pipe",
      stderr: "inherit",
    });
    expect(await new Response(child.stdout).text()).toBe("3\n");
  },
);

test("those that nobody uses make room on a full disk, used longest ago first, until there is enough", async () => {
  using directory = temporaryDirectory();
  const environments = environmentsIn(directory.path);
  const { tools } = pretend();
  const [one, two, three] = [
    await environments.take(PYTHON, "one", tools),
    await environments.take(PYTHON, "two", tools),
    await environments.take(PYTHON, "three", tools),
  ];
  two.release();
  three.release();
  await environments.settled();
  utimesSync(`${three.folder}.json`, 1_000, 1_000);
  let looks = 0;
  expect(await environments.evict(async () => ++looks > 1)).toBe(1);
  expect([two, three].map(({ folder }) => existsSync(folder ?? ""))).toEqual([true, false]);
  expect(await environments.evict(async () => false)).toBe(1);
  expect([one, two].map(({ folder }) => existsSync(folder ?? ""))).toEqual([true, false]);
  one.release();
  expect(await environmentsIn(join(directory.path, "never made")).evict(async () => false)).toBe(0);
});

test("environments of agents of earlier versions are left alone while they are used, and removed a week later", async () => {
  expect(ENVIRONMENTS_FOLDER).not.toBe(OLDER_ENVIRONMENTS_FOLDER);
  using directory = temporaryDirectory();
  const olderFolder = join(directory.path, OLDER_ENVIRONMENTS_FOLDER);
  const longAgo = Date.now() / 1_000 - 8 * 86_400;
  const older = (digit: string, usedAt: number): string => {
    const folder = join(olderFolder, digit.repeat(64));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, ".complete"), "{}");
    utimesSync(join(folder, ".complete"), usedAt, usedAt);
    utimesSync(folder, longAgo, longAgo);
    return folder;
  };
  const [unused, held, recent] = [older("a", longAgo), older("b", longAgo), older("c", Date.now() / 1_000)];
  const lock = tryLock(`${held}.lock`, "shared");
  const environments = new Environments({
    ...{ folder: join(directory.path, ENVIRONMENTS_FOLDER), maxEnvironments: 20, log: new RememberingLog() },
    olderFolder,
  });
  (await environments.take(PYTHON, "tinylib", pretend().tools)).release();
  await environments.settled();
  expect([unused, held, recent].map((folder) => existsSync(folder))).toEqual([false, true, true]);
  lock?.release();
  expect(await environments.evict(async () => false)).toBe(3);
  expect([held, recent].map((folder) => existsSync(folder))).toEqual([false, false]);
});
