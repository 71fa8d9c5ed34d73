/** The fields that several subjects share, each with its bounds in one place. */
import { z } from "zod";
import { JOB_KINDS, type Json, type JsonObject } from "../../../domain/job.ts";

/** Texts that are names, keys or arguments: no NUL, which no process takes, and no halves of characters. */
export function text(maxLength: number, minLength = 0): z.ZodString {
  return z
    .string()
    .min(
      minLength,
      minLength === 1 ? "expected a text that is not empty" : `expected at least ${minLength} characters`,
    )
    .max(maxLength, `expected at most ${maxLength} characters`)
    .refine(isCleanText, "expected a text without NUL characters and lone surrogates");
}

function isCleanText(value: string): boolean {
  return !value.includes("\0") && value.isWellFormed();
}

export const queueName = text(200, 1).meta({ description: "Name of a queue.", example: "default" });
export const kind = z.enum(JOB_KINDS);
export const entityId = z.int().min(1).meta({ description: "Id of a project, task or job." });
export const attemptNumber = z.int().min(1).max(2_147_483_647);

/** An object that is kept and given back as it came. */
export const jsonObject = z
  .custom<JsonObject>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    "expected a JSON object",
  )
  .meta({ override: { type: "object", additionalProperties: true } });

/** Any JSON value, kept as it came. */
export const json = z
  .custom<Json>((value) => value !== undefined)
  .meta({ description: "Any JSON value.", override: { description: "Any JSON value." } });

const MAX_LABELS = 64;

/** Labels, or the labels that a worker must have. */
export const labels = z
  .record(text(200, 1), text(1_000))
  .refine((value) => Object.keys(value).length <= MAX_LABELS, `expected at most ${MAX_LABELS} labels`)
  .meta({ example: { team: "ml" } });

const cpu = z.int().min(0).max(1_000_000);
const accelerators = z.int().min(0).max(1_000_000);
const memoryMb = z.int().min(0).max(1_000_000_000).meta({ description: "MiB" });

/** What a worker has. */
export const resources = z
  .strictObject({ cpu, accelerators, memoryMb })
  .meta({ id: "Resources", description: "CPU slots, accelerators, and memory in MiB." });

/** What a job needs; what is absent comes from its task, else from the defaults. */
export const partialResources = z.strictObject({
  cpu: cpu.optional(),
  accelerators: accelerators.optional(),
  memoryMb: memoryMb.optional(),
});

/** An instant with its zone, as ISO 8601 has it. */
export const instant = z.iso
  .datetime({ offset: true, error: 'expected an instant with its zone, such as "2026-01-31T12:00:00Z"' })
  .max(64)
  .refine((value) => Number.isFinite(Date.parse(value)), "expected an instant that exists");

/** A time in an answer. */
export const time = z.iso.datetime();
export const optionalTime = time.nullable();
