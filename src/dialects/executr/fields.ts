/** The fields that Executr's requests share, each with its bounds in one place. */
import { z } from "zod";
import { PRIORITIES } from "./statuses.ts";

/** Longest argument, and longest value of a variable, that Linux hands to a program. */
const MAX_ARGUMENT_LENGTH = 131_071;
const MAX_ARGUMENTS = 10_000;
const MAX_URL_LENGTH = 8_192;
const MAX_TYPE_LENGTH = 255;
const MAX_NAME_LENGTH = 255;
const INT32_MIN = -2_147_483_648;
/** Windows counts exit codes without a sign. */
const UINT32_MAX = 4_294_967_295;
const MAX_RETRIES = 1_000_000;

/** A text: whole characters, no NUL, which neither processes nor every store takes. */
export function text(maxLength: number, minLength = 0): z.ZodString {
  return z
    .string()
    .min(minLength)
    .max(maxLength)
    .check(({ value, issues }) => {
      if (!value.includes("\0") && value.isWellFormed()) return;
      const message = "must not hold NUL characters or halves of characters";
      issues.push({ code: "custom", message, input: value });
    });
}

function rule(schema: z.ZodString, holds: (value: string) => boolean, message: string): z.ZodString {
  return schema.check(({ value, issues }) => {
    if (!holds(value)) issues.push({ code: "custom", message, input: value });
  });
}

export const type = rule(
  text(MAX_TYPE_LENGTH, 1),
  (value) => value === "" || /^\S+$/u.test(value),
  "must not hold white space",
);

export const binaryUrl = rule(
  text(MAX_URL_LENGTH, 1),
  (value) => !/\s/u.test(value) && /^https?:\/\/./i.test(value) && URL.canParse(value),
  "must be an address that begins with http:// or https://",
).meta({ format: "uri" });

export const sha256 = rule(
  z.string(),
  (value) => /^[0-9a-f]{64}$/i.test(value),
  "must be 64 hex digits",
).meta({ pattern: "^[0-9a-fA-F]{64}$" });

export const priority = z.enum(PRIORITIES);

export const args = z.array(text(MAX_ARGUMENT_LENGTH)).max(MAX_ARGUMENTS);

export const env = z
  .record(z.string(), text(MAX_ARGUMENT_LENGTH))
  .check(({ value, issues }) => {
    for (const name of Object.keys(value)) {
      if (name !== "" && !/[=\0]/.test(name) && name.isWellFormed()) continue;
      const message = "names of variables are not empty and hold neither = nor NUL";
      issues.push({ code: "custom", message, input: name, path: [name] });
    }
  })
  .meta({ override: { type: "object", additionalProperties: { type: "string" } } });

export const maxRetries = z.int().min(0).max(MAX_RETRIES);

/** Whoever runs jobs: any text that is not empty. */
export const executorId = text(MAX_NAME_LENGTH, 1);
/** Whatever the executor knows of its address: usually a host name. */
export const executorIp = text(MAX_NAME_LENGTH, 1);

/** What a program printed. Everything is taken; what cannot be stored is replaced. */
export const output = z.string();
export const exitCode = z.int().min(INT32_MIN).max(UINT32_MAX);
/** Replaced and cut like an output, so that no failure is refused for its words. */
export const errorMessage = z.string().min(1);

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** A job's id as it is kept; null where the text is no UUID. */
export function uuidOf(text: string): string | null {
  return UUID.test(text) ? text.toLowerCase() : null;
}
