import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { ArtifactSweep, type ArtifactSweepOptions } from "../../src/server/artifactSweep.ts";
import { installationOf } from "../../src/server/installation.ts";
import { TouchedArtifacts } from "../../src/server/touchedArtifacts.ts";
import type { BlobStore } from "../../src/store/blobs/blobStore.ts";
import { openDirectoryBlobStore } from "../../src/store/blobs/directoryBlobStore.ts";
import { TestEngine } from "../engine/testEngine.ts";

const KEEP_MS = 3_600_000;

let folder: string;
let blobs: BlobStore;
let engine: TestEngine;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "yardmaster-sweep-"));
  blobs = await openDirectoryBlobStore(folder);
  engine = await TestEngine.open();
});

afterEach(async () => {
  await engine.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** Stores a text as if that had been so long ago; returns its hash. */
async function store(text: string, ageMs = 2 * KEEP_MS): Promise<string> {
  const sha256 = new Bun.CryptoHasher("sha256").update(text).digest("hex");
  await blobs.put(sha256, new Blob([text]).stream(), 1_000);
  const time = new Date(Date.now() - ageMs);
  utimesSync(join(folder, sha256.slice(0, 2), sha256.slice(2, 4), sha256), time, time);
  return sha256;
}

function newSweep(options: Partial<ArtifactSweepOptions> = {}): ArtifactSweep {
  return new ArtifactSweep({
    blobs,
    reads: engine.engine.read,
    installation: () => installationOf(engine.engine),
    keepMs: KEEP_MS,
    logger: pino({ level: "silent" }),
    ...options,
  });
}

async function stored(): Promise<string[]> {
  return (await Array.fromAsync(blobs.list())).map(({ sha256 }) => sha256).sort();
}

const naming = (sha256: string) => ({
  spec: { argv: ["sh", "-c", `curl -O http://yard/v1/artifacts/${sha256}`] },
});

test("what nothing names and nobody asked for is deleted; the rest is kept as long as it is named", async () => {
  const inSpec = await store("spec");
  const inRecord = await store("record");
  const inResult = await store("result");
  const inTask = await store("task");
  const waiting = await store("waiting");
  const young = await store("young", KEEP_MS / 2);
  const askedFor = await store("asked for");
  await blobs.touch(askedFor);
  await store("unnamed");
  const [first, second] = await engine.submit(naming(inSpec), {});
  const job = second?.id ?? 0;
  await engine.claim("w");
  await engine.engine.addRecords({
    workerId: null,
    records: [{ job, attempt: null, kind: "made", data: { model: { sha256: inRecord } } }],
  });
  await engine.engine.finish({
    workerId: "w",
    results: [
      {
        id: job,
        attempt: 1,
        outcome: "succeeded",
        exitCode: 0,
        error: null,
        result: [inResult],
        startedAt: null,
      },
    ],
  });
  await engine.engine.putDocuments([{ collection: "scripts", key: "later", value: { sha256: waiting } }]);
  await engine.engine.createTask({
    name: "t",
    projectId: null,
    commandTemplate: `curl /v1/artifacts/${inTask} {x}`,
    resources: {},
  });

  expect(await newSweep().sweep()).toBe(1);
  const kept = [inSpec, inRecord, inResult, inTask, waiting, young, askedFor].sort();
  expect(await stored()).toEqual(kept);
  expect(await newSweep().sweep()).toBe(0);

  await engine.engine.remove(job);
  await engine.engine.remove(first?.id ?? 0, { force: true });
  // They were named a moment ago.
  expect(await newSweep({ maxAtOnce: 2 }).sweep()).toBe(0);
  for (const text of ["spec", "record", "result"]) await store(text);
  // A few at a time: each lot is looked for in all that is stored.
  expect(await newSweep({ maxAtOnce: 2 }).sweep()).toBe(3);
  expect(await stored()).toEqual([inTask, waiting, young, askedFor].sort());
});

test("a job that comes, or a file that is sent again, while a sweep is under way keeps its artifact", async () => {
  const named = await store("named");
  const sent = await store("sent again");
  const unnamed = await store("unnamed");
  const reads = engine.engine.read;
  let pages = 0;
  const sweep = newSweep({
    reads: {
      mentions: async (part, after) => {
        const page = await reads.mentions(part, after);
        // The jobs were looked through and named none of the three.
        if (part === "jobs" && ++pages === 1) {
          await engine.submit(naming(named));
          await blobs.put(sent, new Blob(["sent again"]).stream(), 1_000);
        }
        return page;
      },
    },
  });
  expect(await sweep.sweep()).toBe(1);
  expect(await stored()).toEqual([named, sent].sort());
  expect(await stored()).not.toContain(unnamed);
});

test("sweeps come by themselves, also after one that failed, until they are stopped", async () => {
  const unnamed = await store("unnamed");
  const lines: string[] = [];
  const logger = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  let tries = 0;
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const sweep = newSweep({
    everyMs: 10,
    logger,
    reads: {
      mentions: async (part, after) => {
        if (++tries === 1) throw new Error("the store is away");
        return engine.engine.read.mentions(part, after);
      },
    },
    blobs: {
      put: (...args) => blobs.put(...args),
      open: (...args) => blobs.open(...args),
      touch: (...args) => blobs.touch(...args),
      claim: (...args) => blobs.claim(...args),
      list: () => blobs.list(),
      delete: async (...args) => {
        const isGone = await blobs.delete(...args);
        if (args[0] === unnamed) resolve();
        return isGone;
      },
    },
  });
  sweep.start();
  await over;
  await sweep.stop();
  expect(await stored()).toEqual([]);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 40, err: { message: "the store is away" } },
    { level: 30, deleted: 1 },
  ]);
  await store("later");
  await Bun.sleep(50);
  expect((await stored()).length).toBe(1);
});

test("a sweep that is stopped deletes nothing more, whatever it has not seen", async () => {
  const named = await store("named");
  const unnamed = await store("unnamed");
  const reads = engine.engine.read;
  let looks = 0;
  const sweep: ArtifactSweep = newSweep({
    reads: {
      mentions: async (part, after) => {
        if (part === "documents" && ++looks === 2) {
          await engine.submit(naming(named));
          void sweep.stop();
        }
        return reads.mentions(part, after);
      },
    },
  });
  expect(await sweep.sweep()).toBe(0);
  expect(await stored()).toEqual([named, unnamed].sort());
});

test("artifacts of another installation are let be", async () => {
  const unnamed = await store("unnamed");
  expect(await newSweep({ installation: async () => "first" }).sweep()).toBe(1);
  await store("unnamed");
  const lines: string[] = [];
  const logger = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
  expect(await newSweep({ installation: async () => "second", logger }).sweep()).toBe(0);
  expect(await stored()).toEqual([unnamed]);
  expect(lines.join("")).toContain("another installation");
  expect(await newSweep({ installation: async () => "first" }).sweep()).toBe(1);
});

test("an installation has one name, also when two servers make it at one moment", async () => {
  const names = await Promise.all([1, 2, 3].map(() => installationOf(engine.engine)));
  expect(await installationOf(engine.engine)).toBe(names.at(-1) ?? "");
});

test("whoever asks for an artifact makes it young, and tells the store of it now and then", async () => {
  const touched: string[] = [];
  const counting = { touch: async (sha256: string) => touched.push(sha256) > 0 };
  const often = new TouchedArtifacts(counting, KEEP_MS);
  for (let n = 0; n < 3; n++) await often.touch("a");
  await often.touch("b");
  expect(touched).toEqual(["a", "b"]);
  await new TouchedArtifacts(counting, null).touch("c");
  expect(touched).toEqual(["a", "b"]);
  const missing = { touch: async () => false };
  const broken = { touch: () => Promise.reject(new Error("read-only")) };
  for (const blobs of [missing, broken]) await new TouchedArtifacts(blobs, KEEP_MS).touch("d");
});
