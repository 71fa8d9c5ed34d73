/** What `verify` goes by: a job's records with what a server, or a file, says beside them. */
import { type Job, type Json, type YardmasterClient, YardmasterError } from "@yardmaster/client";
import { PROVENANCE } from "../domain/provenance.ts";
import type { KnownFacts, NodeKeys } from "../domain/provenanceChain.ts";
import { jobRef } from "./commandLine.ts";
import { MAX_RECORDS, type ProvenanceFile, readProvenance } from "./provenanceFile.ts";
import { UsageError } from "./usageError.ts";

/** Records with what is known beside them. */
export interface Evidence extends ProvenanceFile {
  readonly facts: Pick<KnownFacts, "modelHash" | "lastAttempt">;
  /** What a server has; null where the evidence is a file. */
  readonly source: { readonly client: YardmasterClient; readonly job: Job } | null;
  /** What is wrong with the evidence as a whole. */
  readonly faults: readonly string[];
}

/**
 * The records in a file.
 *
 * @throws UsageError when it is not there or holds none
 */
export async function evidenceInFile(path: string): Promise<Evidence> {
  const file = Bun.file(path);
  if (!(await file.exists())) throw new UsageError(`there is no file ${JSON.stringify(path)}`);
  const saved = readProvenance(await file.text(), path);
  return { ...saved, facts: { modelHash: null, lastAttempt: null }, source: null, faults: [] };
}

/** The records of a job, by its id or key, with what its server knows of it. */
export async function evidenceOfServer(ref: string, client: YardmasterClient): Promise<Evidence> {
  const job = await client.job(jobRef(ref));
  const [kept, attempts] = await Promise.all([
    client.records(job.id, { kind: PROVENANCE, order: "oldest", limit: MAX_RECORDS }),
    client.attempts(job.id),
  ]);
  const records = kept.map(({ data }) => data);
  const nodes = new Set(records.flatMap(({ nodeId }) => (canBeAskedFor(nodeId) ? [nodeId] : [])));
  const nodeKeys = new Map<string, NodeKeys>();
  for (const node of nodes) {
    const keys = await registeredKeys(client, node);
    if (keys !== null) nodeKeys.set(node, keys);
  }
  const succeeded = attempts.filter(({ outcome }) => outcome === "succeeded").map(({ number }) => number);
  const lastAttempt = succeeded.length === 0 ? null : Math.max(...succeeded);
  const faults = [
    ...(records.length === 0 ? [`there are no provenance records: ${whyNone(job)}`] : []),
    ...(records.length === MAX_RECORDS
      ? [`there are ${MAX_RECORDS} records or more: the newest are not looked at`]
      : []),
  ];
  const facts = { modelHash: modelHashOf(job), lastAttempt };
  return { jobId: job.key, records, nodeKeys, facts, source: { client, job }, faults };
}

/** What the job's result says, where its newest attempt has brought one. */
function modelHashOf({ state, result }: Job): string | null {
  if (state !== "succeeded" && state !== "failed") return null;
  const isObject = typeof result === "object" && result !== null && !Array.isArray(result);
  return isObject && typeof result.modelHash === "string" ? result.modelHash : null;
}

async function registeredKeys(client: YardmasterClient, node: string): Promise<NodeKeys | null> {
  try {
    const { publicKey, earlierPublicKeys = [] } = await client.worker(node);
    if (publicKey === null && earlierPublicKeys.length === 0) return null;
    return { current: publicKey, earlier: earlierPublicKeys.map((earlier) => earlier.publicKey) };
  } catch (error) {
    // It may have been deleted since; 422 is a name that no worker can have.
    if (error instanceof YardmasterError && (error.status === 404 || error.status === 422)) return null;
    throw error;
  }
}

/** Half characters have no place in an address. */
function canBeAskedFor(nodeId: Json | undefined): nodeId is string {
  return typeof nodeId === "string" && nodeId.isWellFormed();
}

function whyNone({ kind, state }: Job): string {
  if (kind !== "script") return `the job is of the kind ${kind}, and only scripts have them`;
  if (state === "cancelled") return "the job was cancelled, and a run that is cancelled leaves none";
  if (state !== "succeeded" && state !== "failed")
    return `the job is ${state}, and a run leaves one at its end`;
  return "no agent that keeps them has finished the job";
}
