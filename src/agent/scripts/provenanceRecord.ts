/** What a job's provenance record says. Its first fields are those that ShelbyCompute's readers know. */
import { machine, release, type as systemName } from "node:os";
import type { ClaimedJob, Json, JsonObject, NewRecord } from "@yardmaster/client";
import { version } from "../../../package.json";
import { type NodeKey, PROVENANCE, signRecord } from "../../domain/provenance.ts";
import type { HeldDataset } from "./dataset.ts";
import { sha256Hex } from "./fileHash.ts";
import type { Python } from "./python.ts";
import type { DatasetRequest, ScriptJob } from "./scriptJob.ts";

/** What is known of an attempt; null where it did not come so far. */
export interface AttemptFacts {
  readonly job: Pick<ClaimedJob, "key" | "attempt">;
  readonly nodeId: string;
  /** Hash of the job's record before; null when this is its first. */
  readonly previous: string | null;
  readonly script: ScriptJob | null;
  readonly scriptBytes: number | null;
  readonly python: Python | null;
  /** `name==version` of what the script could import; null when there was no environment yet. */
  readonly packages: readonly string[] | null;
  readonly dataset: HeldDataset | null;
  /** Why the script ran without the dataset that its job names; else null. */
  readonly datasetFault: string | null;
  readonly startedAtMs: number | null;
}

/** How the attempt ended. */
export interface AttemptEnd {
  readonly outcome: "succeeded" | "failed";
  readonly exitCode: number | null;
  readonly error: string | null;
  readonly modelHash: string;
  readonly modelSizeBytes: number;
  readonly durationSeconds: number;
  readonly metadata: JsonObject;
  readonly usage: Json;
  readonly endedAtMs: number;
}

/** The record of an attempt, signed. */
export async function provenanceRecord(
  facts: AttemptFacts,
  end: AttemptEnd,
  key: NodeKey,
): Promise<NewRecord> {
  const { job, nodeId, previous, startedAtMs } = facts;
  const record: JsonObject = {
    jobId: job.key,
    nodeId,
    modelHash: end.modelHash,
    modelSizeBytes: end.modelSizeBytes,
    durationSeconds: end.durationSeconds,
    metadata: end.metadata,
    ts: seconds(end.endedAtMs),
    version: 1,
    attempt: job.attempt,
    outcome: end.outcome,
    exitCode: end.exitCode,
    error: end.error,
    startedAt: startedAtMs === null ? null : seconds(startedAtMs),
    endedAt: seconds(end.endedAtMs),
    inputs: inputsOf(facts),
    software: softwareOf(facts),
    usage: end.usage,
    previous,
  };
  return { kind: PROVENANCE, data: await signRecord(record, key) };
}

function inputsOf({ script, scriptBytes, packages, dataset, datasetFault }: AttemptFacts): JsonObject | null {
  if (script === null) return null;
  return {
    script: {
      ...{ sha256: script.scriptSha256, bytes: scriptBytes, entrypoint: script.entrypoint },
      ...(script.lentBy === null ? {} : { lentBy: script.lentBy }),
    },
    requirements: {
      sha256: sha256Hex(script.requirements),
      resolvedSha256: packages === null ? null : sha256Hex(packages.join("\n")),
    },
    dataset: script.dataset === null ? null : datasetOf(script.dataset, dataset, datasetFault),
  };
}

function datasetOf(request: DatasetRequest, held: HeldDataset | null, fault: string | null): JsonObject {
  return {
    name: request.name,
    source: held?.source ?? null,
    sha256: held?.sha256 ?? null,
    bytes: held?.bytes ?? null,
    verified: held?.isVerified ?? false,
    ...(fault === null ? {} : { fault }),
  };
}

function softwareOf({ python, packages }: AttemptFacts): JsonObject {
  return {
    yardmaster: version,
    os: `${systemName()} ${release()} ${machine()}`,
    python: python === null ? null : `${python.implementation} ${python.version}`,
    packages: packages === null ? null : [...packages],
  };
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
