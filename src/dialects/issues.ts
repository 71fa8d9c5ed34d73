/** Turns what a schema found wrong into issues that a user can act on. */
import type { z } from "zod";
import type { RequestIssue, RequestPart } from "./requestErrors.ts";

/** A body can be wrong in a million places; this many are told. */
const MAX_ISSUES = 20;

type ZodIssue = z.core.$ZodIssue;

/** The issues of a failed check of `input`, at most 20, each with its path from the part's root. */
export function issuesOf(error: z.ZodError, part: RequestPart, input: unknown): RequestIssue[] {
  const told: RequestIssue[] = [];
  for (const issue of error.issues) {
    add(told, part, issue, [], input);
    if (told.length >= MAX_ISSUES) break;
  }
  return told.slice(0, MAX_ISSUES);
}

function add(
  told: RequestIssue[],
  part: RequestPart,
  issue: ZodIssue,
  base: readonly (string | number)[],
  input: unknown,
): void {
  const path = [...base, ...issue.path.map((step) => (typeof step === "number" ? step : String(step)))];
  if (issue.code === "unrecognized_keys") {
    for (const key of issue.keys.slice(0, MAX_ISSUES)) {
      told.push({ part, path: [...path, key], message: "unknown field" });
    }
    return;
  }
  if (issue.code === "invalid_union") {
    const branch = likeliestBranch(issue.errors);
    if (branch !== null) {
      for (const inner of branch) add(told, part, inner, path, input);
      return;
    }
    told.push({ part, path, message: `expected ${expectations(issue.errors)}` });
    return;
  }
  const missing = issue.code === "invalid_type" && valueAt(input, path) === undefined;
  told.push({ part, path, message: missing ? `required: ${wording(issue)}` : wording(issue) });
}

/** The alternative that the value was meant to be: the one that did not already fail by its type. */
function likeliestBranch(branches: readonly (readonly ZodIssue[])[]): readonly ZodIssue[] | null {
  const meant = branches.filter(
    (branch) => !branch.some((issue) => issue.path.length === 0 && issue.code === "invalid_type"),
  );
  return meant.length === 1 ? (meant[0] ?? null) : null;
}

function expectations(branches: readonly (readonly ZodIssue[])[]): string {
  return branches
    .map((branch) => branch[0])
    .map((issue) => {
      if (issue === undefined) return "another value";
      return issue.code === "invalid_type" ? issue.expected : wording(issue);
    })
    .join(" or ");
}

function wording(issue: ZodIssue): string {
  return issue.message
    .replace(/^(Invalid input|Invalid option|Too big|Too small): /, "")
    .replace(/, received undefined$/, "");
}

function valueAt(input: unknown, path: readonly (string | number)[]): unknown {
  let value: unknown = input;
  for (const step of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Reflect.get(value, step);
  }
  return value;
}
