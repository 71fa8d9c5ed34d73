/** Turns jobs as submitted to the native API into the engine's, checking what goes across fields. */

import type { JsonObject } from "../../domain/job.ts";
import type { DependencyRef, NewJob } from "../../engine/engine.ts";
import { issuesOf } from "../issues.ts";
import { InvalidRequestError, type RequestIssue } from "../requestErrors.ts";
import { jobRef } from "./jobReference.ts";
import { binarySpec, commandSpec, type NewJobInput, scriptSpec, taskJobSpec } from "./schemas/job.ts";

type Path = readonly (string | number)[];

/** Lost leases that are forgiven where the caller has not said how often a job may be tried. */
const DEFAULT_MAX_RECOVERIES = 3;

/**
 * The engine's form of a submission.
 *
 * @param isArray whether the items came as an array, which shows in the paths of issues
 * @throws InvalidRequestError with every issue of every item, up to 20
 */
export function toNewJobs(items: readonly NewJobInput[], isArray: boolean): NewJob[] {
  const issues: RequestIssue[] = [];
  const jobs = items.map((item, index) => toNewJob(item, index, isArray ? [index] : [], issues));
  if (issues.length > 0) throw new InvalidRequestError(issues.slice(0, 20));
  return jobs;
}

function toNewJob(input: NewJobInput, index: number, path: Path, issues: RequestIssue[]): NewJob {
  checkSpec(input, path, issues);
  return {
    dialect: "yardmaster",
    key: input.key ?? null,
    kind: input.kind,
    queue: input.queue,
    name: input.name ?? null,
    projectId: input.projectId ?? null,
    spec: input.spec ?? {},
    task: input.taskId === undefined ? null : { id: input.taskId, parameters: input.parameters ?? {} },
    priority: input.priority,
    resources: definedOnly(input.resources),
    labels: input.labels,
    requires: input.requires,
    dependsOn: input.dependsOn.map((ref, place) =>
      dependencyRef(ref, index, [...path, "dependsOn", place], issues),
    ),
    maxAttempts: input.maxAttempts ?? 1,
    maxRecoveries: input.maxRecoveries ?? (input.maxAttempts === undefined ? DEFAULT_MAX_RECOVERIES : 0),
    timeoutMs: input.timeoutMs ?? null,
    runAt: input.runAt === undefined || input.runAt === null ? null : Date.parse(input.runAt),
  };
}

/** Says what to run exactly once: by `spec`, or by a task with parameters. */
function checkSpec(input: NewJobInput, path: Path, issues: RequestIssue[]): void {
  const tell = (field: string, message: string) =>
    issues.push({ part: "body", path: [...path, field], message });
  if (input.taskId === undefined && input.parameters !== undefined) {
    tell("parameters", "parameters are those of a task: give taskId too");
  }
  if (input.taskId !== undefined && input.kind !== "command") {
    tell("kind", 'a job of a task is of the kind "command"');
    return;
  }
  if (input.spec === undefined) {
    if (input.taskId !== undefined) return;
    if (input.kind !== "command") tell("spec", "required: what to run");
    else
      issues.push({
        part: "body",
        path: [...path, "spec", "argv"],
        message: "required: spec.argv, or taskId",
      });
    return;
  }
  if (input.kind === "script" || input.kind === "binary") {
    const schema = input.kind === "script" ? scriptSpec : binarySpec;
    const parsed = schema.safeParse(input.spec);
    if (parsed.success) return;
    for (const issue of issuesOf(parsed.error, "body", input.spec)) {
      issues.push({ part: "body", path: [...path, "spec", ...issue.path], message: issue.message });
    }
    return;
  }
  if (input.kind !== "command") return;
  checkCommandSpec(input.spec, input.taskId !== undefined, [...path, "spec"], issues);
}

function checkCommandSpec(spec: JsonObject, isTaskJob: boolean, path: Path, issues: RequestIssue[]): void {
  const parsed = isTaskJob ? taskJobSpec.safeParse(spec) : commandSpec.safeParse(spec);
  if (parsed.success) return;
  for (const issue of issuesOf(parsed.error, "body", spec)) {
    const isArgvOfTask = isTaskJob && issue.path[0] === "argv";
    const message = isArgvOfTask ? "either spec.argv or taskId says what to run, not both" : issue.message;
    issues.push({ part: "body", path: [...path, ...issue.path], message });
  }
}

function dependencyRef(
  ref: number | string,
  index: number,
  path: Path,
  issues: RequestIssue[],
): DependencyRef {
  if (typeof ref === "number") return { job: ref };
  if (!ref.startsWith("#")) return { job: jobRef(ref) };
  const item = /^#\d{1,4}$/.test(ref) ? Number(ref.slice(1)) : Number.NaN;
  if (!(item < index)) {
    const allowed = index === 0 ? "the first item has none before it" : `allowed: "#0" to "#${index - 1}"`;
    issues.push({ part: "body", path, message: `expected an earlier item of the same array; ${allowed}` });
    return { item: 0 };
  }
  return { item };
}

/** Drops the fields that are absent, so that the task's or the defaults stand for them. */
export function definedOnly<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const defined: { [K in keyof T]?: Exclude<T[K], undefined> } = {};
  for (const name in value) {
    const field = value[name];
    if (isDefined(field)) defined[name] = field;
  }
  return defined;
}

function isDefined<T>(value: T): value is Exclude<T, undefined> {
  return value !== undefined;
}
