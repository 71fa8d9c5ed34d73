/** The fields that several subjects share, each with its bounds in one place. */
import { z } from "zod";
import { JOB_KINDS, type Json, type JsonObject } from "../../../domain/job.ts";

/**
 * Texts that are names, keys or arguments: no NUL, which no process takes, and no halves of characters.
 * One check instead of three: schemas like this one are on the way of every submission.
 */
export function text(maxLength: number, minLength = 0): z.ZodString {
  return z
    .string()
    .check(({ value, issues }) => {
      const message = textFault(value, maxLength, minLength);
      if (message !== null) issues.push({ code: "custom", message, input: value });
    })
    .meta({ maxLength, ...(minLength > 0 ? { minLength } : {}) });
}

/** What is wrong with a text, or null. */
export function textFault(value: string, maxLength: number, minLength: number): string | null {
  if (value.length < minLength) {
    return minLength === 1
      ? "expected a text that is not empty"
      : `expected at least ${minLength} characters`;
  }
  if (value.length > maxLength) return `expected at most ${maxLength} characters`;
  if (value.includes("\0")) return "expected a text without NUL characters";
  return value.isWellFormed() ? null : "expected a text of whole characters, without lone surrogates";
}

/** Bounds of an object whose values are texts. */
interface TextMapBounds {
  readonly maxEntries: number;
  readonly maxNameLength: number;
  readonly maxValueLength: number;
  /** What may not stand in a name. */
  readonly refusedInNames?: string;
}

/** An object whose values are texts, taken as it came: environment variables, labels. */
export function textMap(bounds: TextMapBounds): z.ZodType<Record<string, string>> {
  const { maxEntries, maxNameLength, maxValueLength, refusedInNames } = bounds;
  return z
    .custom<Record<string, string>>(isObject, "expected a JSON object")
    .check(({ value, issues }) => {
      // Zod goes on to this check when the one before has failed already.
      if (!isObject(value)) return;
      let count = 0;
      for (const [name, text] of Object.entries<unknown>(value)) {
        count++;
        const fault = nameFault(name) ?? valueFault(text);
        if (fault !== null) issues.push({ code: "custom", message: fault, path: [name], input: text });
      }
      if (count <= maxEntries) return;
      issues.push({ code: "custom", message: `expected at most ${maxEntries} entries`, input: value });
    })
    .meta({
      override: {
        type: "object",
        maxProperties: maxEntries,
        additionalProperties: { type: "string", maxLength: maxValueLength },
      },
    });

  function nameFault(name: string): string | null {
    const fault = textFault(name, maxNameLength, 1);
    if (fault !== null) return `in the name: ${fault}`;
    if (refusedInNames === undefined || !name.includes(refusedInNames)) return null;
    return `in the name: expected no "${refusedInNames}"`;
  }
  function valueFault(text: unknown): string | null {
    return typeof text === "string" ? textFault(text, maxValueLength, 0) : "expected string";
  }
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export const queueName = text(200, 1).meta({ description: "Name of a queue.", example: "default" });
/** A queue that a job can be in. */
export const ownQueueName = queueName
  .refine((name) => name !== "*", 'expected the name of one queue; "*" stands for all of them')
  .meta({ description: 'Name of a queue; not `"*"`, which stands for all.', example: "default" });
export const kind = z.enum(JOB_KINDS);
export const entityId = z.int().min(1).meta({ description: "Id of a project, task or job." });
export const attemptNumber = z.int().min(1).max(2_147_483_647);

/** An object that is kept and given back as it came. */
export const jsonObject = z
  .custom<JsonObject>(isObject, "expected a JSON object")
  .meta({ override: { type: "object", additionalProperties: true } });

/** Any JSON value, kept as it came. */
export const json = z
  .custom<Json>((value) => value !== undefined)
  .meta({ description: "Any JSON value.", override: { description: "Any JSON value." } });

/** Labels, or the labels that a worker must have. */
export const labels = textMap({ maxEntries: 64, maxNameLength: 200, maxValueLength: 1_000 });

const cpu = z.int().min(0).max(1_000_000);
const accelerators = z.int().min(0).max(1_000_000);
const memoryMb = z.int().min(0).max(1_000_000_000).meta({ description: "MiB" });

/** What a worker has. */
export const resources = z
  .strictObject({ cpu, accelerators, memoryMb })
  .meta({ id: "Resources", description: "CPU slots, accelerators, and memory in MiB." });

/** What a worker of any API has: some know no limits and have more than may be said here. */
export const anyResources = z.object({
  cpu: z.int().min(0),
  accelerators: z.int().min(0),
  memoryMb: z.int().min(0),
});

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
