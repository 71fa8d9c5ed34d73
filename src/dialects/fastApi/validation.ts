/**
 * Checks input and tells what was wrong in the shape that FastAPI's users read: `{type, loc, msg, input}`, in
 * FastAPI's vocabulary (`value_error.missing`, "field required").
 */
import type { z } from "zod";
import { InvalidRequestError } from "../requestErrors.ts";

/** One entry of a 422 body. */
export interface Fault {
  readonly type: string;
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  /** What was sent there, cut where it is long or deep. */
  readonly input: unknown;
}

/** Where in a request a fault can be. */
export type Part = "body" | "query" | "path";

/** The request does not have the form of the call: 422 with the faults. */
export class ValidationError extends InvalidRequestError {
  readonly faults: readonly Fault[];
  constructor(part: Part, faults: readonly Fault[]) {
    super(faults.map(({ loc, msg }) => ({ part, path: loc.slice(1), message: msg })));
    this.faults = faults;
  }
}

/** A body can be wrong in a million places; this many are told. */
const MAX_FAULTS = 20;

type ZodIssue = z.core.$ZodIssue;

/**
 * The value in the schema's types.
 *
 * @throws ValidationError
 */
export function checked<S extends z.ZodType>(schema: S, value: unknown, part: Part): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults: Fault[] = [];
  const places = new Set<string>();
  for (const issue of parsed.error.issues) {
    // What is of the wrong type is not told to be too short as well.
    const place = issue.path.join("\0");
    if (places.has(place)) continue;
    places.add(place);
    faults.push(faultOf(issue, part, value));
    if (faults.length >= MAX_FAULTS) break;
  }
  throw new ValidationError(part, faults);
}

function faultOf(issue: ZodIssue, part: Part, root: unknown): Fault {
  const path = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  const value = valueAt(root, path);
  const loc = [part, ...path];
  if (value === undefined) return { ...MISSING, loc, input: excerpt(valueAt(root, path.slice(0, -1))) };
  return { ...wording(issue, value), loc, input: excerpt(value) };
}

const MISSING = { type: "value_error.missing", msg: "field required" };

/** The body is not there at all. */
export const BODY_MISSING: Fault = { ...MISSING, loc: ["body"], input: null };

function wording(issue: ZodIssue, value: unknown): { type: string; msg: string } {
  switch (issue.code) {
    case "invalid_type":
      if (value === null) return { type: "type_error.none.not_allowed", msg: "none is not an allowed value" };
      if (issue.message === FLOAT.msg) return FLOAT;
      return WORDS_OF_TYPES[issue.expected] ?? { type: "type_error", msg: `${issue.expected} expected` };
    case "too_small":
      return bound(issue.origin, "not_ge", "min", Number(issue.minimum));
    case "too_big":
      return bound(issue.origin, "not_le", "max", Number(issue.maximum));
    case "invalid_value": {
      const permitted = issue.values.map((one) => `'${String(one)}'`).join(", ");
      return {
        type: "type_error.enum",
        msg: `value is not a valid enumeration member; permitted: ${permitted}`,
      };
    }
    default:
      return { type: "value_error", msg: issue.message };
  }
}

/** Told where a schema says it of itself: a number that is no integer is not told from one that is. */
export const FLOAT = { type: "type_error.float", msg: "value is not a valid float" };
const INTEGER = { type: "type_error.integer", msg: "value is not a valid integer" };
const DICT = { type: "type_error.dict", msg: "value is not a valid dict" };

/** The body is JSON, and no object. */
export const BODY_NO_OBJECT: Fault = { ...DICT, loc: ["body"], input: null };

const WORDS_OF_TYPES: Readonly<Record<string, { type: string; msg: string }>> = {
  string: { type: "type_error.str", msg: "str type expected" },
  number: INTEGER,
  int: INTEGER,
  boolean: { type: "type_error.bool", msg: "value could not be parsed to a boolean" },
  array: { type: "type_error.list", msg: "value is not a valid list" },
  object: DICT,
  record: DICT,
};

function bound(
  origin: string,
  comparison: "not_ge" | "not_le",
  end: "min" | "max",
  limit: number,
): { type: string; msg: string } {
  const atWhat = end === "min" ? "at least" : "at most";
  if (origin === "string") {
    return {
      type: `value_error.any_str.${end}_length`,
      msg: `ensure this value has ${atWhat} ${limit} characters`,
    };
  }
  if (origin === "array") {
    return { type: `value_error.list.${end}_items`, msg: `ensure this value has ${atWhat} ${limit} items` };
  }
  const than = end === "min" ? "greater" : "less";
  return {
    type: `value_error.number.${comparison}`,
    msg: `ensure this value is ${than} than or equal to ${limit}`,
  };
}

function valueAt(root: unknown, path: readonly (string | number)[]): unknown {
  let value: unknown = root;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = Reflect.get(value, step);
  }
  return value;
}

const MAX_TEXT = 200;
const MAX_ENTRIES = 20;
const MAX_DEPTH = 3;

/** What was sent, short enough to be sent back: a refused body may be megabytes long. */
function excerpt(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return value.length <= MAX_TEXT ? value : `${value.slice(0, MAX_TEXT)}…`;
  if (typeof value !== "object" || value === null) return value ?? null;
  if (depth >= MAX_DEPTH) return "…";
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((one) => excerpt(one, depth + 1));
  const entries: [string, unknown][] = [];
  for (const key in value) {
    if (entries.length >= MAX_ENTRIES) break;
    entries.push([key.slice(0, MAX_TEXT), excerpt(Reflect.get(value, key), depth + 1)]);
  }
  return Object.fromEntries(entries);
}
