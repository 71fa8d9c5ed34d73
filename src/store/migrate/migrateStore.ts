/**
 * Moves an installation from the embedded store to PostgreSQL: every table, and its artifacts where they change their
 * place too. The source is only read, and stays as it was.
 *
 * ```ts
 * const moved = await migrateStore({ fromDir: "/var/lib/yardmaster", toUrl: "postgres://yard@db/jobs", blobs: null,
 *   startOver: false, onProgress: console.log });
 * ```
 */
import { join } from "node:path";
import type { BlobStore } from "../blobs/blobStore.ts";
import { openDirectoryBlobStore } from "../blobs/directoryBlobStore.ts";
import { unavailableReason } from "../postgres/faults.ts";
import { copyBlobs } from "./copyBlobs.ts";
import { IncomingStore } from "./incomingStore.ts";
import { MIGRATED_TABLES } from "./migratedTables.ts";
import { MigrationError } from "./migrationError.ts";
import { SourceStore } from "./sourceStore.ts";
import { type MovedTable, TableMove } from "./tableMove.ts";

export interface MigrateStoreOptions {
  /** Data folder of a server that is stopped. */
  readonly fromDir: string;
  /** `postgres://user:password@host:port/database`, empty or with an unfinished move from the same folder. */
  readonly toUrl: string;
  /** Where the artifacts go; null leaves them where they are. Opened once both stores are this command's. */
  readonly blobs: (() => Promise<BlobStore>) | null;
  /** Throws away an unfinished move. */
  readonly startOver: boolean;
  readonly onProgress: (progress: MigrationProgress) => void;
}

/** What is being done. */
export interface MigrationProgress {
  readonly step: "resume" | "move" | "artifacts" | "compare" | "done";
  /** The table, if one is at work. */
  readonly table: string | null;
  readonly done: number;
  /** How many there are; null where that is not known. */
  readonly total: number | null;
}

export interface MigrationReport {
  readonly from: string;
  /** Without the password. */
  readonly to: string;
  readonly tables: readonly MovedTable[];
  /** Null where they were left in their place. */
  readonly artifacts: { readonly count: number; readonly bytes: number } | null;
}

/** @throws MigrationError, DataDirError, StoreRefusedError, BlobPlaceError, StoreUnavailableError: words for the user */
export async function migrateStore(options: MigrateStoreOptions): Promise<MigrationReport> {
  const source = await SourceStore.open(options.fromDir);
  try {
    const target = await IncomingStore.open({
      url: options.toUrl,
      source: { dataDir: source.dataDir, fingerprint: source.fingerprint() },
      startOver: options.startOver,
    });
    try {
      return await move(source, target, options);
    } finally {
      target.close();
    }
  } catch (error) {
    const reason = unavailableReason(error);
    if (reason === null) throw error;
    throw new MigrationError(
      `the database cannot be used now: ${reason}; run the same command again, and it goes on where it was`,
    );
  } finally {
    await source.close();
  }
}

async function move(
  source: SourceStore,
  target: IncomingStore,
  options: MigrateStoreOptions,
): Promise<MigrationReport> {
  const { onProgress } = options;
  if (target.isResumed) onProgress({ step: "resume", table: null, done: 0, total: null });
  const moves: TableMove[] = [];
  // All are planned before the first row moves: what cannot be moved is told at once.
  for (const table of MIGRATED_TABLES) moves.push(await TableMove.plan(table, source, target));
  const totals = new Map(moves.map(({ table }) => [table.name, source.count(table.name)]));
  for (const one of moves) {
    const { name } = one.table;
    const total = totals.get(name) ?? null;
    await one.move((done) => onProgress({ step: "move", table: name, done, total }));
  }
  await target.fillLines();
  await target.setSequence("job_ids", source.lastJobId);
  for (const { table, column, last } of source.lastNumbers()) {
    await target.setSequence(await target.sequenceOf(table, column), last);
  }

  let artifacts: MigrationReport["artifacts"] = null;
  if (options.blobs !== null) {
    const from = await openDirectoryBlobStore(join(source.dataDir, "artifacts"));
    artifacts = await copyBlobs(from, await options.blobs(), (done) =>
      onProgress({ step: "artifacts", table: null, done, total: null }),
    );
  }

  const tables: MovedTable[] = [];
  for (const one of moves) {
    const { name } = one.table;
    const total = totals.get(name) ?? null;
    tables.push(await one.compare((done) => onProgress({ step: "compare", table: name, done, total })));
  }
  await target.publish();
  onProgress({ step: "done", table: null, done: tables.length, total: tables.length });
  return { from: source.dataDir, to: target.place, tables, artifacts };
}
