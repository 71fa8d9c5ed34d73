/**
 * Opens the store that the settings name: the embedded one in the data directory, or a database of several servers. What
 * is not used is not loaded.
 */
import { DataDirError, lockDataDir } from "../../store/sqlite/dataDir.ts";
import type { Store, StoreReads } from "../../store/store.ts";

export interface StorePlace {
  /** Folder of this server alone, also where the jobs are elsewhere. */
  readonly dataDir: string;
  /** Address of a PostgreSQL database; null is the embedded store. */
  readonly storeUrl: string | null;
}

/**
 * @param onCorrupt called when the store turns out to be damaged
 * @throws DataDirError when it cannot be used; its message is for the user, and holds no password
 */
export async function openStore(
  { dataDir, storeUrl }: StorePlace,
  onCorrupt: (message: string) => void,
): Promise<Store> {
  if (storeUrl === null) {
    const { SqliteStore } = await import("../../store/sqlite/sqliteStore.ts");
    return new SqliteStore({ dataDir, onCorrupt });
  }
  const [{ PostgresStore }, { StoreRefusedError }] = await Promise.all([
    import("../../store/postgres/postgresStore.ts"),
    import("../../store/postgres/faults.ts"),
  ]);
  const lock = lockDataDir(dataDir);
  try {
    return await PostgresStore.open({ url: storeUrl, onClosed: () => lock.release() });
  } catch (error) {
    lock.release();
    throw error instanceof StoreRefusedError ? new DataDirError(error.message) : error;
  }
}

/** Opens the same store for reading, once it was opened for writing. */
export async function openReads({ dataDir, storeUrl }: StorePlace): Promise<StoreReads> {
  if (storeUrl === null) {
    const { SqliteReads } = await import("../../store/sqlite/sqliteReads.ts");
    return new SqliteReads(dataDir);
  }
  const { PostgresReads } = await import("../../store/postgres/postgresReads.ts");
  return new PostgresReads({ url: storeUrl });
}
