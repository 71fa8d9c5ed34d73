/**
 * `depends`: a map of job ids to names. The engine knows the ids; the names are for readers and are kept in
 * the job's spec, so that a client finds in an answer what it sent.
 */
import type { Job, JsonObject } from "../../domain/job.ts";
import { RefusedError } from "./refusals.ts";

/** The ids that a map names. @throws RefusedError for a key that is no job id */
export function dependencyIds(depends: Readonly<Record<string, unknown>>): number[] {
  return Object.keys(depends).map((key) => {
    const id = /^\d{1,16}$/.test(key) ? Number(key) : Number.NaN;
    if (Number.isSafeInteger(id)) return id;
    throw new RefusedError(
      `${JSON.stringify(key.slice(0, 100))} is not the id of a job; keys are integers in decimal digits`,
      "depends",
    );
  });
}

/** What the job's spec keeps of the map: nothing where there is nothing to keep. */
export function keptNames(depends: Readonly<Record<string, string | null>>): JsonObject {
  const named = Object.entries(depends).map(([key, name]) => [String(Number(key)), name ?? ""]);
  return named.length === 0 ? {} : { depends: Object.fromEntries(named) };
}

/** The map of a job for an answer. */
export function dependsOf(job: Job): Record<string, string> {
  const kept = job.spec.depends;
  const names = typeof kept === "object" && kept !== null && !Array.isArray(kept) ? kept : {};
  const map: Record<string, string> = {};
  for (const id of job.dependsOn) {
    const name = names[String(id)];
    map[id] = typeof name === "string" ? name : "";
  }
  return map;
}
