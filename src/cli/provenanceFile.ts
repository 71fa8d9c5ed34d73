/** Provenance as a file: what `verify --save` writes, and what `verify --file` reads. */
import type { Json, JsonObject } from "@yardmaster/client";
import { UsageError } from "./usageError.ts";

export interface ProvenanceFile {
  /** Null where the file does not say. */
  readonly jobId: string | null;
  /** Oldest first. */
  readonly records: readonly JsonObject[];
  /** By node. */
  readonly publicKeys: Readonly<Record<string, string>>;
}

/** More than any job has. */
const MAX_RECORDS = 10_000;

/** The text of the file. */
export function provenanceText({ jobId, records, publicKeys }: ProvenanceFile): string {
  return `${JSON.stringify({ jobId, publicKeys, records }, null, 2)}\n`;
}

/**
 * Reads what was saved; one record, a list of them, a page of `/v1/jobs/…/records` and the detail of a ShelbyCompute
 * job are understood too.
 *
 * @throws UsageError when the file holds none of these
 */
export function readProvenance(text: string, name: string): ProvenanceFile {
  const value = parsed(text, name);
  const whole = isObject(value) ? value : {};
  const list = Array.isArray(value) ? value : (whole.records ?? whole.items ?? whole.provenance ?? [value]);
  const records = Array.isArray(list) ? list.flatMap(recordIn) : [];
  if (records.length === 0 || !Array.isArray(list) || records.length !== list.length) {
    throw new UsageError(`${name} holds no provenance records`);
  }
  if (records.length > MAX_RECORDS) throw new UsageError(`${name} holds more than ${MAX_RECORDS} records`);
  const keys = isObject(whole.publicKeys) ? Object.entries(whole.publicKeys) : [];
  return {
    jobId: typeof whole.jobId === "string" ? whole.jobId : null,
    records,
    publicKeys: Object.fromEntries(
      keys.flatMap(([node, key]) => (typeof key === "string" ? [[node, key]] : [])),
    ),
  };
}

function parsed(text: string, name: string): Json {
  try {
    const value: Json = JSON.parse(text);
    return value;
  } catch {
    throw new UsageError(`${name} is not JSON`);
  }
}

/** A record lies by itself, in an item's `data`, or in an entry's `record`. */
function recordIn(item: Json): JsonObject[] {
  if (!isObject(item)) return [];
  const inner = item.record ?? item.data;
  const record = isObject(inner) ? inner : item;
  return typeof record.jobId === "string" && typeof record.nodeId === "string" ? [record] : [];
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
