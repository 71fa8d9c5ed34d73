/** The fields that WhatsNext's schemas share, each with its bounds in one place. */
import { z } from "zod";
import type { Json, JsonObject } from "../../domain/job.ts";

const INT32_MAX = 2_147_483_647;
/** Longest list in one answer; larger limits are clamped, because existing clients ask for 10,000. */
const MAX_LIMIT = 1_000;

/** A text: whole characters, no NUL, which neither processes nor every store takes. */
export function text(maxLength: number, minLength = 0): z.ZodString {
  return z
    .string()
    .min(minLength)
    .max(maxLength)
    .check(({ value, issues }) => {
      if (!value.includes("\0") && value.isWellFormed()) return;
      const message = "the text must not hold NUL characters or halves of characters";
      issues.push({ code: "custom", message, input: value });
    });
}

export const name = text(1_000, 1);
export const description = text(10_000);
export const commandTemplate = text(100_000);

/** A whole number; as decimal digits in a text too, which the original takes. */
export function integer(minimum: number, maximum: number): z.ZodType<number> {
  return z
    .preprocess(
      (value) => (typeof value === "string" && /^[+-]?\d{1,15}$/.test(value) ? Number(value) : value),
      z.int().min(minimum).max(maximum),
    )
    .meta({ override: { type: "integer", minimum, maximum } });
}

export const id = integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
export const priority = integer(-INT32_MAX - 1, INT32_MAX);
export const amount = integer(0, 1_000_000);

/** One of the words, in any case. */
export function word<const Words extends readonly [string, ...string[]]>(
  words: Words,
): z.ZodType<Words[number]> {
  return z
    .preprocess((value) => (typeof value === "string" ? value.toUpperCase() : value), z.enum(words))
    .meta({ override: { type: "string", enum: [...words] } });
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An object that is kept and given back as it came. */
function keptObject<T extends JsonObject>(): z.ZodType<T> {
  return z
    .custom<T>()
    .check(({ value, issues }) => {
      if (!isObject(value)) {
        issues.push({
          code: "invalid_type",
          expected: "object",
          input: value,
          message: "expected an object",
        });
      }
    })
    .meta({ override: { type: "object", additionalProperties: true } });
}

export const parameters = keptObject<Record<string, Json>>();

/** Ids of jobs with names, which stand for the reader and are never checked. */
export const depends = keptObject<Record<string, string | null>>()
  .check(({ value, issues }) => {
    if (!isObject(value)) return;
    for (const [key, one] of Object.entries<unknown>(value)) {
      if (typeof one === "string" || one === null) continue;
      issues.push({
        code: "invalid_type",
        expected: "string",
        input: one,
        path: [key],
        message: "expected a text",
      });
    }
  })
  .meta({
    override: { type: "object", additionalProperties: { type: "string" } },
    description: "Ids of the jobs that must be COMPLETED first, with their names.",
    example: { "42": "preprocessing-job" },
  });

/** `{id}` in a path, as an integer. */
export const idPath = z.object({ id: z.int() });
export const namePath = z.object({ name: z.string() });
export const textIdPath = z.object({ id: z.string() });

/** `limit` and `skip` of lists. */
export const page = {
  // No upper bound: what is larger is clamped where it is used.
  limit: z
    .number()
    .min(1)
    .default(100)
    // As text only integers are taken, however large.
    .meta({ override: { type: "integer" }, description: `At most ${MAX_LIMIT}; more is clamped.` }),
  skip: z.int().min(0).default(0),
};

/** How many of a list are answered when so many are asked for. */
export function clamped(limit: number): number {
  return Math.min(limit, MAX_LIMIT);
}

/** Without the fields that are null or absent: in an update both mean "as it is". */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], null | undefined> } {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== null && value !== undefined),
  ) as { [K in keyof T]?: Exclude<T[K], null | undefined> };
}
