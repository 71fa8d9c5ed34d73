/** What a `script` job asks for, read from its `spec`. */
import type { ClaimedJob, Json, JsonObject } from "@yardmaster/client";
import { JobFault } from "../runner.ts";
import { checkEntrypoint } from "./entrypoint.ts";

export interface ScriptJob {
  readonly scriptSha256: string;
  readonly entrypoint: string;
  readonly requirements: string;
  readonly dataset: DatasetRequest | null;
  /** The id that the script was uploaded for, when that is not the job's; null when it is. */
  readonly lentBy: string | null;
}

export interface DatasetRequest {
  readonly name: string;
  readonly url: string | null;
  /** As given: verified when it is a SHA-256, else only told. */
  readonly hash: string | null;
}

const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Reads the job's spec.
 *
 * @throws JobFault naming the field that is wrong
 */
export function readScriptJob({ spec }: Pick<ClaimedJob, "spec">): ScriptJob {
  const { script } = spec;
  if (script === undefined || script === null) {
    throw new JobFault(
      "no script was uploaded for this job in time: restart it and upload the script under its id at once, or upload first and create the job then",
    );
  }
  const sha256 = isObject(script) ? script.sha256 : null;
  if (typeof sha256 !== "string" || !SHA256.test(sha256)) {
    throw new JobFault("spec.script.sha256 must be a SHA-256 as 64 hexadecimal digits in small letters");
  }
  return {
    scriptSha256: sha256,
    entrypoint: checkEntrypoint(textOr(spec.entrypoint, "train.py", "spec.entrypoint")),
    requirements: textOr(spec.requirements, "", "spec.requirements"),
    dataset: datasetOf(spec.dataset),
    lentBy: typeof spec.lentBy === "string" ? spec.lentBy : null,
  };
}

function datasetOf(value: Json | undefined): DatasetRequest | null {
  if (value === undefined || value === null) return null;
  if (!isObject(value)) throw new JobFault("spec.dataset must be an object");
  const url = textOr(value.url, "", "spec.dataset.url").trim();
  const hash = textOr(value.hash, "", "spec.dataset.hash").trim();
  return {
    name: textOr(value.name, "", "spec.dataset.name"),
    url: url === "" ? null : url,
    hash: hash === "" ? null : hash,
  };
}

/** The SHA-256 that a dataset's hash gives, with or without `sha256:` before it; null when it is something else. */
export function sha256Of(hash: string | null): string | null {
  const digits = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(hash ?? "")?.[1];
  return digits === undefined ? null : digits.toLowerCase();
}

function textOr(value: Json | undefined, absent: string, name: string): string {
  if (value === undefined || value === null) return absent;
  if (typeof value !== "string" || value.includes("\0")) {
    throw new JobFault(`${name} must be text without NUL characters`);
  }
  return value;
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
