/**
 * Places in a job's log, as readers see them.
 *
 * A worker numbers the chunks of one attempt from 1. Readers follow a job through its attempts, so their
 * `seq` holds both: `(attempt - 1) · 2^32 + seq`. For the first attempt it is the worker's own number; it
 * grows from attempt to attempt and stays exact in JSON for two million of them.
 */
const PER_ATTEMPT = 2 ** 32;

export interface LogPlace {
  readonly attempt: number;
  readonly seq: number;
}

export function encodePlace({ attempt, seq }: LogPlace): number {
  return Math.max(attempt - 1, 0) * PER_ATTEMPT + seq;
}

export function decodePlace(place: number): LogPlace {
  return { attempt: Math.floor(place / PER_ATTEMPT) + 1, seq: place % PER_ATTEMPT };
}

/** Largest number a worker may give a chunk: what a column of PostgreSQL holds. */
export const MAX_LOG_SEQ = 2 ** 31 - 1;
