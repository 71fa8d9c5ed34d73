/**
 * Whether a job's provenance holds together: every signature, every link to the record before, and the job's own
 * result beside the newest record.
 */
import type { JsonObject } from "./job.ts";
import { hasValidSignature, recordHash } from "./provenance.ts";

/** What is known from elsewhere, to hold the records against. Null is unknown: then it is not checked. */
export interface KnownFacts {
  /** The job that the records are of. */
  readonly jobId: string | null;
  /** SHA-256 of the model that the job's result names; empty when it made none. */
  readonly modelHash: string | null;
  /** The newest attempt that succeeded: there must be a record of it. */
  readonly lastAttempt: number | null;
  /** Public keys by node, as they were registered. */
  readonly publicKeys: Readonly<Record<string, string>>;
}

/** How one record stands. */
export interface RecordVerdict {
  /** Null where an unsigned record does not say. */
  readonly nodeId: string | null;
  readonly attempt: number | null;
  readonly modelHash: string | null;
  readonly hash: string;
  /**
   * `signed` by the key that is registered for its node; `unconfirmed` by the key that the record itself names, the
   * node's own being unknown; `unsigned` by an agent that signs nothing.
   */
  readonly signature: "signed" | "unconfirmed" | "unsigned" | "invalid";
}

export interface ChainVerdict {
  readonly records: readonly RecordVerdict[];
  /** What does not fit, each for people; empty when all does. */
  readonly faults: readonly string[];
}

/**
 * Checks a job's records.
 *
 * @param records oldest first, all that there are
 */
export async function checkChain(records: readonly JsonObject[], facts: KnownFacts): Promise<ChainVerdict> {
  const verdicts: RecordVerdict[] = [];
  const faults: string[] = [];
  let previous: string | null = null;
  for (const [index, record] of records.entries()) {
    const tell = (fault: string): number => faults.push(`record ${index + 1}: ${fault}`);
    const verdict = await judge(record, facts, tell);
    if (isChained(record)) checkLink(record, previous, tell);
    if (facts.jobId !== null && record.jobId !== facts.jobId) {
      tell(`it is of the job ${JSON.stringify(record.jobId ?? null)}, not of ${JSON.stringify(facts.jobId)}`);
    }
    verdicts.push(verdict);
    previous = verdict.hash;
  }
  const newest = verdicts.at(-1);
  if (newest !== undefined) checkNewest(newest, facts, (fault) => faults.push(`the newest record: ${fault}`));
  return { records: verdicts, faults };
}

/** Records of agents that know nothing of chains say nothing of what came before. */
function isChained(record: JsonObject): boolean {
  return record.signature !== undefined || record.previous !== undefined || record.version !== undefined;
}

async function judge(
  record: JsonObject,
  facts: KnownFacts,
  tell: (fault: string) => void,
): Promise<RecordVerdict> {
  const nodeId = typeof record.nodeId === "string" ? record.nodeId : null;
  const shared = {
    nodeId,
    attempt: typeof record.attempt === "number" ? record.attempt : null,
    modelHash: typeof record.modelHash === "string" ? record.modelHash : null,
    hash: await recordHash(record),
  };
  if (record.signature === undefined) {
    if (!isChained(record)) return { ...shared, signature: "unsigned" };
    tell("its signature was taken away");
    return { ...shared, signature: "invalid" };
  }
  const named = typeof record.publicKey === "string" ? record.publicKey : "";
  const registered = nodeId === null ? undefined : facts.publicKeys[nodeId];
  if (!(await hasValidSignature(record, named))) {
    tell("its signature does not fit: it was changed after it was signed");
    return { ...shared, signature: "invalid" };
  }
  if (registered === undefined) return { ...shared, signature: "unconfirmed" };
  if (registered === named) return { ...shared, signature: "signed" };
  tell(`it is not signed with the key that is known of the node ${JSON.stringify(nodeId)}`);
  return { ...shared, signature: "invalid" };
}

function checkLink(record: JsonObject, previous: string | null, tell: (fault: string) => void): void {
  if ((record.previous ?? null) === previous) return;
  if (previous === null) tell("records before it are missing: it names one, and there is none");
  else tell("the record before it was changed or taken out, or records are out of order");
}

function checkNewest(newest: RecordVerdict, facts: KnownFacts, tell: (fault: string) => void): void {
  if (facts.lastAttempt !== null && newest.attempt !== null && newest.attempt < facts.lastAttempt) {
    tell(`it is of attempt ${newest.attempt}; that of attempt ${facts.lastAttempt} is missing`);
  }
  if (facts.modelHash !== null && newest.modelHash !== facts.modelHash) {
    tell(`it names the model ${wordFor(newest.modelHash)}, the job's result ${wordFor(facts.modelHash)}`);
  }
}

function wordFor(hash: string | null): string {
  return hash === null || hash === "" ? "(none)" : hash;
}
