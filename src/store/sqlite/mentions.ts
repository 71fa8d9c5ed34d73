/** Which blobs are named anywhere in the tables, a page at a time. */
import type { Database } from "bun:sqlite";
import { blobNamesIn } from "../blobNames.ts";
import type { MentionPage, MentionPart, MentionPlace } from "../store.ts";

/** A page takes some milliseconds of the thread that reads. */
const ROWS_AT_ONCE = 1_000;
const BYTES_AT_ONCE = 2_000_000;

/** Where a part of the store is, and which columns of it hold text. */
const PARTS: Readonly<Record<MentionPart, { from: string; place: string; texts: readonly string[] }>> = {
  documents: { from: "documents", place: "collection, key", texts: ["value"] },
  tasks: { from: "tasks", place: "id", texts: ["command_template"] },
  records: { from: "records", place: "seq", texts: ["data"] },
  jobs: { from: "jobs", place: "id", texts: ["spec", "result", "name", "key", "labels"] },
};

type Key = (string | number)[];

/** See `StoreReads.mentions`. */
export function mentions(db: Database, part: MentionPart, after: MentionPlace | null): MentionPage {
  const { from, place, texts } = PARTS[part];
  const start: Key =
    typeof after === "string" ? JSON.parse(after) : part === "documents" ? ["", ""] : [after ?? 0];
  const marks = start.map(() => "?").join(", ");
  const bytes = texts.map((text) => `ifnull(octet_length(${text}), 0)`).join(" + ");
  // The sizes first, which are known without reading the texts.
  const sizes = db
    .query<Record<string, string | number>, Key>(
      `SELECT ${bytes} AS bytes, ${place} FROM ${from} WHERE (${place}) > (${marks}) ORDER BY ${place} LIMIT ${ROWS_AT_ONCE}`,
    )
    .values(...start) as [number, ...Key][];
  let end: Key | null = null;
  let sum = 0;
  for (const [size, ...key] of sizes) {
    end = key;
    sum += size;
    if (sum >= BYTES_AT_ONCE) break;
  }
  if (end === null) return { sha256s: [], place: null };
  const rows = db
    .query<Record<string, string | null>, Key>(
      `SELECT ${texts.join(", ")} FROM ${from} WHERE (${place}) > (${marks}) AND (${place}) <= (${marks})`,
    )
    .values(...start, ...end) as (string | null)[][];
  return {
    sha256s: rows.flat().flatMap((text) => (text === null ? [] : blobNamesIn(text))),
    place: part === "documents" ? JSON.stringify(end) : Number(end[0]),
  };
}
