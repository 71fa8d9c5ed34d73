/**
 * Closed unions are stored as small integers: their place in the list that declares them. Those lists may
 * grow at the end, and must never be reordered.
 */
import {
  DIALECTS,
  type DialectName,
  JOB_KINDS,
  JOB_STATES,
  type JobKind,
  type JobState,
  LOG_STREAMS,
  type LogStream,
} from "../domain/job.ts";

interface Code<Name extends string> {
  encode(name: Name): number;
  /** @throws RangeError for a number that this version does not know. */
  decode(code: number): Name;
}

function codeOf<Name extends string>(what: string, names: readonly Name[]): Code<Name> {
  const codes = new Map(names.map((name, index) => [name, index]));
  return {
    encode: (name) => codes.get(name) ?? unknownCode(what, name),
    decode: (code) => names[code] ?? unknownCode(what, code),
  };
}

function unknownCode(what: string, value: string | number): never {
  throw new RangeError(`the store holds an unknown ${what}: ${value}; was it written by a newer version?`);
}

export const stateCode: Code<JobState> = codeOf("job state", JOB_STATES);
export const kindCode: Code<JobKind> = codeOf("job kind", JOB_KINDS);
export const dialectCode: Code<DialectName> = codeOf("dialect", DIALECTS);
export const streamCode: Code<LogStream> = codeOf("log stream", LOG_STREAMS);
