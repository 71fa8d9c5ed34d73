/** The fields that ShelbyCompute's schemas share, each with its bounds in one place. */
import { z } from "zod";
import type { JsonObject } from "../../domain/job.ts";
import { FLOAT } from "../fastApi/validation.ts";

const MAX_ID_CHARACTERS = 200;

/** A text of whole characters without NUL, which neither processes nor every store takes. */
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

/** An id: addresses name things by it, and there `.` and `..` mean something else, however they are written. */
function idOf(minLength: number) {
  return text(MAX_ID_CHARACTERS, minLength).refine((value) => value !== "." && value !== "..", {
    message: 'an id cannot be "." or ".."',
  });
}

export const id = idOf(1);

/** An id that may be left empty. */
export const idOrEmpty = idOf(0);

/** A whole number. */
export function integer(minimum: number, maximum: number) {
  return z.int().min(minimum).max(maximum);
}

/** A number. */
export function number(minimum: number, maximum: number) {
  return z.number(FLOAT.msg).min(minimum).max(maximum);
}

/** An object that is kept and given back as it came. */
export function keptObject(maxCharacters: number): z.ZodType<JsonObject> {
  return z
    .custom<JsonObject>()
    .check(({ value, issues }) => {
      const given: unknown = value;
      if (typeof given !== "object" || given === null || Array.isArray(given)) {
        issues.push({
          code: "invalid_type",
          expected: "object",
          input: given,
          message: "expected an object",
        });
      } else if (JSON.stringify(given).length > maxCharacters) {
        const message = `ensure this value has at most ${maxCharacters} characters as JSON`;
        issues.push({ code: "custom", message, input: given });
      }
    })
    .meta({ override: { type: "object", additionalProperties: true } });
}

/** `limit` of a list. No upper bound: more than `most` is clamped where it is used. */
export function limit(preset: number, most: number) {
  return z
    .number()
    .min(1)
    .default(preset)
    .meta({ override: { type: "integer" }, description: `At most ${most}; more is clamped.` });
}

export const jobPath = z.object({ job_id: z.string() });
export const nodePath = z.object({ node_id: z.string() });
