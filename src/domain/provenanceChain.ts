/**
 * Whether a job's provenance holds together: every signature, every link to the record before, and the job's own
 * result beside the newest record.
 */
import type { JsonObject } from "./job.ts";
import { hasValidSignature, recordHash } from "./provenance.ts";

/** What is known from elsewhere, to hold the records against, and what is asked of them. */
export interface KnownFacts {
  /** The job that the records are of; null where it is not known: then they must name one job together. */
  readonly jobId: string | null;
  /** SHA-256 of the model that the job's result names, empty when it made none; null is unknown and not checked. */
  readonly modelHash: string | null;
  /** The newest attempt that succeeded: there must be a record of it. Null is unknown and not checked. */
  readonly lastAttempt: number | null;
  /** Keys by node. */
  readonly nodeKeys: ReadonlyMap<string, NodeKeys>;
  /** False where whoever brings the records also says whose these keys are. */
  readonly areNodeKeysConfirmed: boolean;
  /** Each record must be signed with one of these, whatever else is known of its node; null is no such demand. */
  readonly pinnedKeys: readonly string[] | null;
  /** Records that nobody signed are faults, whoever they are of. */
  readonly requiresSignatures: boolean;
}

/** Public keys of one node: 32 bytes in base64 each. */
export interface NodeKeys {
  /** Null where it has none now. */
  readonly current: string | null;
  readonly earlier: readonly string[];
}

/** How one record stands. */
export interface RecordVerdict {
  /** Null where the record names no node. */
  readonly nodeId: string | null;
  /** Null where the record does not say. */
  readonly attempt: number | null;
  readonly modelHash: string | null;
  readonly hash: string;
  /**
   * `signed` by the key that is known of its node, or by one that was asked for; `signedByEarlierKey` by one that its
   * node had before; `unconfirmed` by a key that only whoever brings the record calls the node's; `unsigned` by an agent
   * that signs nothing.
   */
  readonly signature: "signed" | "signedByEarlierKey" | "unconfirmed" | "unsigned" | "invalid";
}

export interface ChainVerdict {
  readonly records: readonly RecordVerdict[];
  /** What does not fit, each for people; empty when all does. */
  readonly faults: readonly string[];
}

/** A record with what its signature proves. */
interface ReadRecord {
  readonly record: JsonObject;
  readonly nodeId: string | null;
  /** The key that it names and that its signature fits; null where there is none. */
  readonly signer: string | null;
}

type Tell = (fault: string) => void;

/**
 * Checks a job's records.
 *
 * @param records oldest first, all that there are
 */
export async function checkChain(records: readonly JsonObject[], facts: KnownFacts): Promise<ChainVerdict> {
  const verdicts: RecordVerdict[] = [];
  const faults: string[] = [];
  const read: ReadRecord[] = [];
  for (const record of records) read.push(await readRecord(record));
  const signingNodes = new Set(read.flatMap(({ nodeId, signer }) => (signer === null ? [] : [nodeId])));
  const jobId = facts.jobId ?? records[0]?.jobId ?? null;
  let previous: string | null = null;
  for (const [index, one] of read.entries()) {
    const { record, nodeId } = one;
    const tell: Tell = (fault) => faults.push(`record ${index + 1}: ${fault}`);
    if (nodeId === null) tell("it does not name its node: nodeId is no text");
    const signature =
      record.signature === undefined
        ? judgeUnsigned(one, facts, signingNodes, tell)
        : judgeSigned(one, facts, tell);
    if (isChained(record)) checkLink(record, previous, tell);
    if (record.jobId !== jobId) {
      tell(`it is of the job ${JSON.stringify(record.jobId ?? null)}, not of ${JSON.stringify(jobId)}`);
    }
    previous = await recordHash(record);
    verdicts.push({
      nodeId,
      attempt: typeof record.attempt === "number" ? record.attempt : null,
      modelHash: typeof record.modelHash === "string" ? record.modelHash : null,
      hash: previous,
      signature,
    });
  }
  const newest = verdicts.at(-1);
  if (newest !== undefined) checkNewest(newest, facts, (fault) => faults.push(`the newest record: ${fault}`));
  return { records: verdicts, faults };
}

async function readRecord(record: JsonObject): Promise<ReadRecord> {
  const named = typeof record.publicKey === "string" ? record.publicKey : "";
  return {
    record,
    nodeId: typeof record.nodeId === "string" ? record.nodeId : null,
    signer: (await hasValidSignature(record, named)) ? named : null,
  };
}

/** Records of agents that know nothing of chains say nothing of what came before. */
function isChained(record: JsonObject): boolean {
  return (
    record.signature !== undefined ||
    record.publicKey !== undefined ||
    record.previous !== undefined ||
    record.version !== undefined
  );
}

/** Agents of other makers sign nothing; those that do would have. */
function judgeUnsigned(
  { record, nodeId }: ReadRecord,
  { nodeKeys, pinnedKeys, requiresSignatures }: KnownFacts,
  signingNodes: ReadonlySet<string | null>,
  tell: Tell,
): "unsigned" | "invalid" {
  if (isChained(record)) {
    tell("its signature was taken away");
    return "invalid";
  }
  if (nodeId !== null && (signingNodes.has(nodeId) || nodeKeys.has(nodeId))) {
    tell(`nobody signed it, though its node ${JSON.stringify(nodeId)} has a key`);
    return "invalid";
  }
  if (pinnedKeys !== null || requiresSignatures) tell("nobody signed it");
  return "unsigned";
}

function judgeSigned(
  { nodeId, signer }: ReadRecord,
  { nodeKeys, areNodeKeysConfirmed, pinnedKeys }: KnownFacts,
  tell: Tell,
): RecordVerdict["signature"] {
  if (signer === null) {
    tell("its signature does not fit: it was changed after it was signed");
    return "invalid";
  }
  if (pinnedKeys !== null) {
    if (pinnedKeys.includes(signer)) return "signed";
    tell("it is not signed with a key that was given");
    return "invalid";
  }
  const known = nodeId === null ? undefined : nodeKeys.get(nodeId);
  if (known === undefined) return "unconfirmed";
  const isCurrent = known.current === signer;
  if (!isCurrent && !known.earlier.includes(signer)) {
    tell(`it is not signed with a key that is known of the node ${JSON.stringify(nodeId)}`);
    return "invalid";
  }
  if (!areNodeKeysConfirmed) return "unconfirmed";
  return isCurrent ? "signed" : "signedByEarlierKey";
}

function checkLink(record: JsonObject, previous: string | null, tell: Tell): void {
  if ((record.previous ?? null) === previous) return;
  if (previous === null) tell("records before it are missing: it names one, and there is none");
  else tell("the record before it was changed or taken out, or records are out of order");
}

function checkNewest(newest: RecordVerdict, facts: KnownFacts, tell: Tell): void {
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
