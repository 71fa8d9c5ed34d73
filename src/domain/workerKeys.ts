/**
 * The keys by which a worker signs provenance, as they stand in its details. An earlier key stays there when the worker
 * registers another, so that what it signed can still be told from what somebody else did.
 */
import type { Json, JsonObject } from "./job.ts";

/** A key that the worker had before. */
export interface EarlierKey {
  /** 32 bytes in base64. */
  readonly publicKey: string;
  /** When the worker registered without it, in milliseconds since 1970. */
  readonly replacedAt: number;
}

export interface WorkerKeys {
  /** Null where the worker told none. */
  readonly publicKey: string | null;
  /** The newest first. */
  readonly earlier: readonly EarlierKey[];
}

/** Earlier keys that are kept of one worker. A key changes when its file is lost, which is rare. */
export const MAX_EARLIER_KEYS = 20;

/** The keys in a worker's details. */
export function workerKeys({ publicKey, earlierKeys }: JsonObject): WorkerKeys {
  const earlier = Array.isArray(earlierKeys) ? earlierKeys.flatMap(earlierKeyIn) : [];
  return { publicKey: typeof publicKey === "string" ? publicKey : null, earlier };
}

/**
 * What a worker says of itself when it registers again, with the keys that it had until then.
 *
 * @param before its details so far
 * @param now in milliseconds since 1970
 */
export function withEarlierKeys(before: JsonObject, said: JsonObject, now: number): JsonObject {
  const known = workerKeys(before);
  const { publicKey } = workerKeys(said);
  const replaced = known.publicKey === null ? [] : [{ publicKey: known.publicKey, replacedAt: now }];
  const earlier = [...replaced, ...known.earlier].filter((key) => key.publicKey !== publicKey);
  if (earlier.length === 0) return said;
  return { ...said, earlierKeys: earlier.slice(0, MAX_EARLIER_KEYS).map((key) => ({ ...key })) };
}

function earlierKeyIn(value: Json): EarlierKey[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  const { publicKey, replacedAt } = value;
  return typeof publicKey === "string" && typeof replacedAt === "number" ? [{ publicKey, replacedAt }] : [];
}
