/**
 * The limit of any store on SQLite here: insert, claim and complete in one process, in the same batches, with the
 * same durability (WAL, `synchronous=FULL`), on a table with what a queue cannot do without.
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";

/** Jobs a second through insert, claim and complete, each batch of each step one transaction. */
export function plainSqliteCycle(folder: string, jobs: number, batch: number): number {
  const db = new Database(join(folder, `plain-${crypto.randomUUID()}.sqlite`), { create: true });
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
  db.exec(`
    CREATE TABLE job (id INTEGER PRIMARY KEY, key TEXT NOT NULL, queue TEXT NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL,
      priority INTEGER NOT NULL, state TEXT NOT NULL, worker TEXT, attempt INTEGER NOT NULL DEFAULT 0, exit_code INTEGER,
      created_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER);
    CREATE INDEX job_ready ON job (queue, priority DESC, id) WHERE state = 'ready';
  `);
  const insert = db.prepare(
    "INSERT INTO job (key, queue, name, spec, priority, state, created_at) VALUES (?, 'default', 'true', ?, 0, 'ready', ?)",
  );
  const heads = db.prepare<{ id: number }, [number]>(
    "SELECT id FROM job WHERE state = 'ready' AND queue = 'default' ORDER BY priority DESC, id LIMIT ?",
  );
  const claim = db.prepare(
    "UPDATE job SET state = 'running', worker = 'w', attempt = attempt + 1, started_at = ? WHERE id = ?",
  );
  const complete = db.prepare(
    "UPDATE job SET state = 'succeeded', exit_code = 0, finished_at = ? WHERE id = ? AND attempt = 1",
  );
  const spec = JSON.stringify({ argv: ["/bin/true"] });

  const startedAt = performance.now();
  for (let done = 0; done < jobs; done += batch) {
    const now = Date.now();
    db.transaction(() => {
      for (let index = 0; index < batch; index += 1) insert.run(Bun.randomUUIDv7(), spec, now);
    })();
    const claimed: number[] = [];
    db.transaction(() => {
      for (const { id } of heads.all(batch)) {
        claim.run(now, id);
        claimed.push(id);
      }
    })();
    db.transaction(() => {
      for (const id of claimed) complete.run(now, id);
    })();
  }
  const perSecond = jobs / ((performance.now() - startedAt) / 1_000);
  db.close();
  return perSecond;
}
