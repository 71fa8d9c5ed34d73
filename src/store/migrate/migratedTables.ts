/**
 * What moves from one store to the other: the tables, and how each is read in order.
 *
 * Columns are not listed: they are those of the source, and each must have its place in the target, or nothing is
 * moved. A column that a later version adds is so never left behind unnoticed.
 */
import { JOB_STATES } from "../../domain/job.ts";
import { isFinal } from "../../domain/stateMachine.ts";
import { stateCode } from "../codes.ts";

/** One table of the source. */
export interface MigratedTable {
  readonly name: string;
  /** Columns that order it, so that it can be gone on with after a row. */
  readonly key: readonly string[];
  /** Tables of the target that its columns go to; absent is the one of the same name. */
  readonly into?: readonly TargetTable[];
}

/** One table of the target. */
export interface TargetTable {
  readonly name: string;
  /** Only rows where this column has a value have one there. */
  readonly onlyWith?: string;
}

/** In the order in which they are moved. */
export const MIGRATED_TABLES: readonly MigratedTable[] = [
  { name: "shapes", key: ["id"] },
  { name: "projects", key: ["id"] },
  { name: "tasks", key: ["id"] },
  { name: "workers", key: ["id"] },
  {
    name: "jobs",
    key: ["id"],
    into: [{ name: "jobs" }, { name: "job_details" }, { name: "job_results", onlyWith: "result" }],
  },
  { name: "edges", key: ["job_id", "depends_on"] },
  { name: "attempts", key: ["job_id", "number"] },
  // By the order of writing, which the target numbers anew.
  { name: "log_chunks", key: ["rowid"] },
  { name: "records", key: ["seq"] },
  { name: "documents", key: ["collection", "key"] },
  { name: "tallies", key: ["dialect", "queue", "kind", "project_id", "state"] },
  { name: "idempotency", key: ["key"] },
];

/** Tables of the source that are not moved: what they hold is made anew. */
export const UNMOVED_TABLES: readonly string[] = ["meta", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4"];

/** Columns that the target numbers by itself, with the largest number that was ever given out. */
export const NUMBERED: readonly { readonly table: string; readonly column: string }[] = [
  { table: "shapes", column: "id" },
  { table: "projects", column: "id" },
  { table: "tasks", column: "id" },
  { table: "records", column: "seq" },
];

/** Tables that tell that somebody uses a store. */
export const TELLING_TABLES: readonly string[] = [
  "jobs",
  "projects",
  "tasks",
  "documents",
  "workers",
  "idempotency",
];

/** Tables of the target that rows come to. */
export const ANALYZED_TABLES: readonly string[] = [
  ...MIGRATED_TABLES.flatMap(({ name, into }) => into?.map((part) => part.name) ?? [name]),
  ...["ready", "pending", "ended"],
];

const READY = stateCode.encode("ready");
const WAITING = stateCode.encode("waiting");
const BLOCKED = stateCode.encode("blocked");
const FINAL = JOB_STATES.filter(isFinal).map(stateCode.encode).join(", ");

/** Where jobs stand follows from their rows: see `../postgres/lines.ts`. */
export const FILL_LINES: readonly string[] = [
  `INSERT INTO ready (shape_id, rank, id) SELECT shape_id, -priority, id FROM jobs WHERE state = ${READY}`,
  `INSERT INTO pending (state, id, due_at)
   SELECT state, id, CASE WHEN state = ${WAITING} AND unmet = 0 THEN run_at END
   FROM jobs WHERE state IN (${WAITING}, ${BLOCKED})`,
  `INSERT INTO ended (state, id, finished_at) SELECT state, id, finished_at FROM jobs WHERE state IN (${FINAL})`,
];
