/** Environments without the installers: who builds, who waits, what makes room. */
import { expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Launch } from "../../../src/agent/runner.ts";
import type { EnvironmentTools } from "../../../src/agent/scripts/buildEnvironment.ts";
import { Environments } from "../../../src/agent/scripts/environments.ts";
import type { Python } from "../../../src/agent/scripts/python.ts";
import { RememberingLog, temporaryDirectory } from "../testAgent.ts";

const PYTHON: Python = {
  ...{ executable: "/usr/bin/python3", version: "3.11.0", implementation: "CPython", prefix: "/usr" },
  ...{ platform: "linux-x86_64", packages: [] },
};
const ENDED = { exitCode: 0, signal: null, reason: null, error: null };

/** Installers that do nothing, and remember that they were asked. */
function pretend(install: (launch: Launch) => Promise<void> = async () => {}) {
  const launches: Launch[] = [];
  const notes: string[] = [];
  const tools: EnvironmentTools = {
    ...{ uv: null, env: {}, reads: [], signal: new AbortController().signal },
    note: (text) => void notes.push(text),
    step: async (launch, { onOutput }) => {
      launches.push(launch);
      await install(launch);
      onOutput?.("stdout", new TextEncoder().encode("tinylib==1.0\n"));
      return ENDED;
    },
  };
  return { launches, notes, tools };
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
  expect(foldersIn(directory.path)).toEqual([]);
  const { folder } = await environments.take(PYTHON, "a", pretend().tools);
  expect(existsSync(join(folder ?? "", ".complete"))).toBe(true);
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
  expect(existsSync(held.folder ?? "")).toBe(false);
});
