/** The small parts of the `script` runner, by themselves. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentSettings } from "../../../src/agent/agentOptions.ts";
import { gpuFigures, gpuUseOf } from "../../../src/agent/scripts/gpuUse.ts";
import { LastLines } from "../../../src/agent/scripts/lastLines.ts";
import { findModel } from "../../../src/agent/scripts/model.ts";
import { useOf } from "../../../src/agent/scripts/processUse.ts";
import { normalRequirements } from "../../../src/agent/scripts/requirements.ts";
import { readScriptJob, sha256Of } from "../../../src/agent/scripts/scriptJob.ts";
import { tryLock } from "../../../src/agent/scripts/sharedLock.ts";
import { temporaryDirectory } from "../testAgent.ts";

const MIB = 1024 ** 2;

describe("the model", () => {
  async function modelOf(files: Record<string, number>): Promise<string | null> {
    using directory = temporaryDirectory();
    for (const [name, bytes] of Object.entries(files)) {
      mkdirSync(join(directory.path, name, ".."), { recursive: true });
      writeFileSync(join(directory.path, name), "x".repeat(bytes));
    }
    return (await findModel(directory.path))?.name ?? null;
  }
  test.each([
    [{}, null],
    [{ "model.bin": 0, "a.txt": 0 }, null],
    [{ "model.bin": 1, "big.pt": 9 }, "model.bin"],
    [{ "deep/model.bin": 5, "a.onnx": 1 }, "a.onnx"],
    [{ "a.pth": 9, "b.pt": 1, "c.safetensors": 20 }, "b.pt"],
    [{ "a.pt": 1, "b.pt": 3, "deep/c.PT": 5 }, "deep/c.PT"],
    [{ "a.txt": 2, "b.txt": 2 }, "a.txt"],
    [{ "log.txt": 9, "a.pth": 1 }, "a.pth"],
  ] as [Record<string, number>, string | null][])("of %j is %j", async (files, model) => {
    expect(await modelOf(files)).toBe(model);
  });
  test("is never what a link names, nor what lies behind a folder that is one", async () => {
    using directory = temporaryDirectory();
    using elsewhere = temporaryDirectory();
    writeFileSync(join(elsewhere.path, "secret.pt"), "secret");
    symlinkSync(join(elsewhere.path, "secret.pt"), join(directory.path, "model.bin"));
    symlinkSync(elsewhere.path, join(directory.path, "deep"));
    expect(await findModel(directory.path)).toBeNull();
    expect(await findModel(join(directory.path, "deep"))).toBeNull();
    expect(await findModel(join(directory.path, "missing"))).toBeNull();
  });
  test("is not a file whose name is no UTF-8, and that one hides no other", async () => {
    using directory = temporaryDirectory();
    const bad = Buffer.concat([Buffer.from(`${directory.path}/`), Buffer.from([0xff]), Buffer.from(".pt")]);
    writeFileSync(bad, "xxx");
    expect(await findModel(directory.path)).toBeNull();
    writeFileSync(join(directory.path, "small.pth"), "x");
    expect((await findModel(directory.path))?.name).toBe("small.pth");
  });
});

describe("usage", () => {
  test("is that of a process and all that it started, not of others", () => {
    const process = (pid: number, parentPid: number, cpuMs: number, memoryBytes: number) => ({
      ...{ pid, parentPid, cpuMs, memoryBytes },
    });
    const all = [process(1, 0, 5, 50), process(10, 1, 1, 10), process(11, 10, 2, 20), process(12, 11, 3, 30)];
    expect(useOf(10, [...all, process(13, 1, 9, 9)], 600)).toEqual({
      ...{ pids: [10, 11, 12], cpuMs: 6, memoryBytes: 60, memoryPercent: 10 },
    });
    expect(useOf(99, all)).toBeNull();
    // A process that names itself as its parent, as on some systems, ends the search all the same.
    expect(useOf(0, [process(0, 0, 1, 1)], 100)?.pids).toEqual([0]);
  });
  test("of GPUs is read from nvidia-smi's tables", () => {
    const figures = gpuFigures("0, 50, 1000\n1, [N/A], 200\n2, 30, 10\n", "123, 700\n124, [N/A]\n");
    expect(gpuUseOf(figures, [123, 5], [0, 2])).toEqual({ percent: 40, memoryBytes: 700 * MIB });
    expect(gpuUseOf(figures, [5], [0, 1])).toEqual({ percent: 50, memoryBytes: 1_200 * MIB });
    expect(gpuUseOf(figures, [5], [1])).toEqual({ percent: null, memoryBytes: 200 * MIB });
    expect(gpuUseOf(figures, [5], [])).toBeNull();
    expect(gpuFigures("no devices were found\n", "").gpus.size).toBe(0);
  });
});

describe("requirements", () => {
  test("of one meaning have one form", () => {
    const text =
      "\ufeff# all of it\r\n  torch>=1.9.0  # pinned below\r\n\r\nnumpy \n--index-url http://h/#x\n";
    expect(normalRequirements(text)).toBe("torch>=1.9.0\nnumpy\n--index-url http://h/#x");
    expect(normalRequirements(" \n# nothing\n")).toBe("");
  });
});

describe("the last lines", () => {
  test("are kept in little memory, whatever comes", () => {
    const last = new LastLines(2, 20, (line) => !line.startsWith("[notice]"));
    const encoder = new TextEncoder();
    for (let at = 0; at < 1_000; at++) last.append(encoder.encode(`line ${at}\n[notice] new\n\n`));
    last.append(encoder.encode("x".repeat(100_000)));
    last.append(encoder.encode("€end"));
    expect(last.text()).toBe(`${"x".repeat(16)}€end`);
    const short = new LastLines(2, 100);
    short.append(encoder.encode("a\r\nb\rc"));
    expect(short.text()).toBe("b\nc");
  });
});

describe("a spec", () => {
  const script = { sha256: "a".repeat(64) };
  test("is read with its defaults", () => {
    expect(readScriptJob({ spec: { script } })).toEqual({
      ...{ scriptSha256: script.sha256, entrypoint: "train.py", requirements: "", dataset: null },
      lentBy: null,
    });
    const dataset = { name: "n", url: " ", hash: null };
    expect(readScriptJob({ spec: { script, dataset } }).dataset).toEqual({
      name: "n",
      url: null,
      hash: null,
    });
  });
  test.each([
    [{}, "no script was uploaded"],
    [{ script: null }, "no script was uploaded"],
    [{ script: { sha256: "../../etc" } }, "spec.script.sha256"],
    [{ script, requirements: 5 }, "spec.requirements"],
    [{ script, entrypoint: "a\0b" }, "spec.entrypoint"],
    [{ script, dataset: "x" }, "spec.dataset must be an object"],
  ])("%j is refused", (spec, message) => {
    expect(() => readScriptJob({ spec })).toThrow(message);
  });
  test("takes 64 hexadecimal digits for a SHA-256, with or without its name", () => {
    expect(sha256Of("A".repeat(64))).toBe("a".repeat(64));
    expect(sha256Of(`sha256:${"b".repeat(64)}`)).toBe("b".repeat(64));
    for (const other of [null, "", "md5:abc", "a".repeat(63), `sha512:${"a".repeat(64)}`]) {
      expect(sha256Of(other)).toBeNull();
    }
  });
});

describe("a shared lock", () => {
  test("lets many use a thing or one change it", () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, "lock");
    const first = tryLock(path, "shared");
    const second = tryLock(path, "shared");
    expect([first, second]).not.toContain(null);
    expect(tryLock(path, "exclusive")).toBeNull();
    first?.release();
    first?.release();
    expect(tryLock(path, "exclusive")).toBeNull();
    second?.release();
    const alone = tryLock(path, "exclusive");
    expect(alone).not.toBeNull();
    expect(tryLock(path, "shared")).toBeNull();
    alone?.release();
  });
});

test("an agent without Python takes no scripts, unless it is told to", () => {
  const kinds = ["command", "script"] as const;
  expect(agentSettings({ python: "no-such-python" }, kinds).kinds).toEqual(["command"]);
  expect(agentSettings({ python: "python3" }, kinds).kinds).toEqual(["command", "script"]);
  expect(agentSettings({ python: "no-such-python", kinds: ["script"] }, kinds).kinds).toEqual(["script"]);
});
