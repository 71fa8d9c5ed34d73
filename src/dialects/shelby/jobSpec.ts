/** What a job of ShelbyCompute is to run, as the engine keeps it: the `spec` of the kind `script`. */
import type { Job, Json, JsonObject } from "../../domain/job.ts";

/** Where a script's text lies: among the artifacts, under its SHA-256. */
export interface StoredScript {
  readonly sha256: string;
  readonly bytes: number;
}

/** A script with what it needs: all that one upload says. */
export interface Upload {
  readonly script: StoredScript;
  readonly requirements: string;
  readonly entrypoint: string;
}

export interface JobSpec {
  readonly datasetName: string;
  readonly datasetUrl: string | null;
  readonly datasetHash: string | null;
  readonly runtimeMinutesEstimate: number;
  readonly meta: JsonObject;
  /** Null: none was uploaded. */
  readonly upload: Upload | null;
  /** The id that the script was uploaded for, where the job has it on loan or had it; else null. See `StrayScripts`. */
  readonly lentBy: string | null;
}

export const DEFAULT_ENTRYPOINT = "train.py";

/** The engine's form. */
export function specToEngine(spec: JobSpec): JsonObject {
  return {
    dataset: { name: spec.datasetName, url: spec.datasetUrl, hash: spec.datasetHash },
    ...uploadToEngine(spec.upload),
    runtimeMinutesEstimate: spec.runtimeMinutesEstimate,
    meta: spec.meta,
    lentBy: spec.lentBy,
  };
}

/** The part of the engine's form that an upload replaces. */
export function uploadToEngine(upload: Upload | null): JsonObject {
  return {
    script: upload === null ? null : { ...upload.script },
    requirements: upload?.requirements ?? "",
    entrypoint: upload?.entrypoint ?? DEFAULT_ENTRYPOINT,
  };
}

/** Reads the engine's form back. */
export function specOf({ name, spec }: Pick<Job, "name" | "spec">): JobSpec {
  const dataset = objectOr(spec.dataset);
  return {
    datasetName: textOrNull(dataset.name) ?? name,
    datasetUrl: textOrNull(dataset.url),
    datasetHash: textOrNull(dataset.hash),
    runtimeMinutesEstimate: typeof spec.runtimeMinutesEstimate === "number" ? spec.runtimeMinutesEstimate : 0,
    meta: objectOr(spec.meta),
    upload: uploadOf(spec),
    lentBy: textOrNull(spec.lentBy),
  };
}

/** Reads the part that `uploadToEngine` wrote; null where it holds no script. */
export function uploadOf(value: JsonObject): Upload | null {
  const { sha256, bytes } = objectOr(value.script);
  if (typeof sha256 !== "string" || typeof bytes !== "number") return null;
  return {
    script: { sha256, bytes },
    requirements: textOrNull(value.requirements) ?? "",
    entrypoint: textOrNull(value.entrypoint) ?? DEFAULT_ENTRYPOINT,
  };
}

/** Says whether two uploads brought the same. */
export function isSameUpload(a: Upload | null, b: Upload | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.script.sha256 === b.script.sha256 && a.requirements === b.requirements && a.entrypoint === b.entrypoint
  );
}

/** The value if it is an object, else an empty one. */
export function objectOr(value: Json | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

function textOrNull(value: Json | undefined): string | null {
  return typeof value === "string" ? value : null;
}
