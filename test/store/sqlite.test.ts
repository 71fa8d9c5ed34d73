import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StoreUnavailableError } from "../../src/domain/errors.ts";
import { DataDirError } from "../../src/store/sqlite/dataDir.ts";
import { SqliteReads } from "../../src/store/sqlite/sqliteReads.ts";
import { DATABASE_FILE, SqliteStore } from "../../src/store/sqlite/sqliteStore.ts";
import { describeStore, type OpenStore } from "./storeConformance.ts";

const dirs: string[] = [];

function newDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "yardmaster-store-"));
  dirs.push(dir);
  return dir;
}

afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

async function open(dataDir: string): Promise<OpenStore> {
  const store = new SqliteStore({ dataDir });
  const reads = new SqliteReads(dataDir);
  const close = async () => {
    await reads.close();
    await store.close();
  };
  return {
    store,
    reads,
    reopen: async () => {
      await close();
      return open(dataDir);
    },
    dispose: close,
  };
}

describeStore("SQLite", () => open(newDir()));

describe("the SQLite data directory", () => {
  test("is made when missing", async () => {
    const opened = await open(join(newDir(), "a", "b"));
    await opened.dispose();
  });

  test("belongs to one server at a time", async () => {
    const dir = newDir();
    const first = await open(dir);
    expect(() => new SqliteStore({ dataDir: dir })).toThrow("in use by another Yardmaster server");
    await first.dispose();
    await (await open(dir)).dispose();
  });

  test("whose file is moved away under the server takes no writes until it is back", async () => {
    const dir = newDir();
    const { store, dispose } = await open(dir);
    const isWritten = () =>
      store
        .transaction(async () => true)
        .catch((error: unknown) => {
          expect(error).toBeInstanceOf(StoreUnavailableError);
          expect(String(error)).toContain("was deleted, moved or replaced");
          return false;
        });
    expect(await isWritten()).toBe(true);
    renameSync(join(dir, DATABASE_FILE), join(dir, "elsewhere"));
    const deadline = Date.now() + 10_000;
    while ((await isWritten()) && Date.now() < deadline) await Bun.sleep(20);
    expect(await isWritten()).toBe(false);
    renameSync(join(dir, "elsewhere"), join(dir, DATABASE_FILE));
    expect(await isWritten()).toBe(true);
    await dispose();
  });

  test("with a file in its place, or a store that is none, is refused with a reason", () => {
    const dir = newDir();
    writeFileSync(join(dir, "file"), "x");
    expect(() => new SqliteStore({ dataDir: join(dir, "file") })).toThrow(DataDirError);
    mkdirSync(join(dir, "data"));
    writeFileSync(
      join(dir, "data", DATABASE_FILE),
      "this is no database, but it is long enough to look at".repeat(50),
    );
    expect(() => new SqliteStore({ dataDir: join(dir, "data") })).toThrow("not a Yardmaster store");
  });

  test("with a damaged store is refused, and the store is left as it is", async () => {
    const dir = newDir();
    const opened = await open(dir);
    await opened.store.transaction(async (tx) => {
      for (let index = 0; index < 200; index++) {
        await tx.insertIdempotencies([
          { key: `key ${index}`, fingerprint: "x".repeat(500), jobIds: [], createdAt: 1 },
        ]);
      }
    });
    await opened.dispose();
    const file = join(dir, DATABASE_FILE);
    const bytes = new Uint8Array(await Bun.file(file).arrayBuffer());
    bytes.fill(0xa5, bytes.length / 2);
    writeFileSync(file, bytes);
    expect(() => new SqliteStore({ dataDir: dir })).toThrow("damaged");
    expect(new Uint8Array(await Bun.file(file).arrayBuffer())).toEqual(bytes);
  });

  test("of a newer version is refused", async () => {
    const dir = newDir();
    await (await open(dir)).dispose();
    const db = new Database(join(dir, DATABASE_FILE));
    db.run("PRAGMA user_version = 999");
    db.close();
    expect(() => new SqliteStore({ dataDir: dir })).toThrow("newer Yardmaster");
  });
});
