/** Names that all servers of one store agree on. */

/** Everything of Yardmaster's stands in a schema of its own, beside whatever else the database holds. */
export const SCHEMA = "yardmaster";

/** Channel of the notifications. */
export const CHANNEL = "yardmaster";

const BASE = 0x79617264;

/** Advisory locks, by what their holder alone may do. */
export const ADVISORY_LOCKS = {
  /** Change the schema. */
  migration: BASE + 1,
  /** Look after leases, schedules and retention, until the end of a transaction. */
  upkeep: BASE + 2,
  /** Add up what commits counted. */
  folding: BASE + 3,
  /** Held, shared, by each server as long as it runs. */
  alive: BASE + 4,
  /** Take ids of jobs in a row, for the time of a statement. */
  jobIds: BASE + 5,
} as const;
