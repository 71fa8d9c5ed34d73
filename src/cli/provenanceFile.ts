/** Provenance as a file: what `verify --save` writes, and what `verify --file` reads. */
import type { Json, JsonObject } from "@yardmaster/client";
import type { NodeKeys } from "../domain/provenanceChain.ts";
import { UsageError } from "./usageError.ts";

export interface ProvenanceFile {
  /** The job's key. Null where the file does not say. */
  readonly jobId: string | null;
  /** Oldest first. */
  readonly records: readonly JsonObject[];
  /** As the server has registered them, where the file was written from one; nodes without any are left out. */
  readonly nodeKeys: ReadonlyMap<string, NodeKeys>;
}

/** More than any job has. */
export const MAX_RECORDS = 10_000;

/** The text of the file. */
export function provenanceText({ jobId, records, nodeKeys }: ProvenanceFile): string {
  const publicKeys = Object.fromEntries(
    [...nodeKeys].flatMap(([node, { current }]) => (current === null ? [] : [[node, current]])),
  );
  const earlierPublicKeys = Object.fromEntries(
    [...nodeKeys].flatMap(([node, { earlier }]) => (earlier.length === 0 ? [] : [[node, earlier]])),
  );
  return `${JSON.stringify({ jobId, publicKeys, earlierPublicKeys, records }, null, 2)}\n`;
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
  return {
    jobId: typeof whole.jobId === "string" ? whole.jobId : null,
    records,
    nodeKeys: nodeKeysIn(whole),
  };
}

function nodeKeysIn({ publicKeys, earlierPublicKeys }: JsonObject): Map<string, NodeKeys> {
  const nodeKeys = new Map<string, NodeKeys>();
  for (const [node, key] of isObject(publicKeys) ? Object.entries(publicKeys) : []) {
    if (typeof key === "string") nodeKeys.set(node, { current: key, earlier: [] });
  }
  for (const [node, keys] of isObject(earlierPublicKeys) ? Object.entries(earlierPublicKeys) : []) {
    const earlier = Array.isArray(keys) ? keys.filter((key) => typeof key === "string") : [];
    if (earlier.length > 0) nodeKeys.set(node, { current: nodeKeys.get(node)?.current ?? null, earlier });
  }
  return nodeKeys;
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
