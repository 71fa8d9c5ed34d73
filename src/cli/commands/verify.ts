/** `yardmaster verify JOB`: whether a job's provenance holds, and whether its model is the one that it names. */
import { existsSync } from "node:fs";
import { type Job, type YardmasterClient, YardmasterError } from "@yardmaster/client";
import type { Command } from "commander";
import { keyName, PROVENANCE } from "../../domain/provenance.ts";
import { checkChain, type KnownFacts, type RecordVerdict } from "../../domain/provenanceChain.ts";
import { declareCommand, type Invocation, invoke, jobRef } from "../commandLine.ts";
import { EXIT, ExitError } from "../exitCode.ts";
import { oneLine } from "../othersText.ts";
import { type ProvenanceFile, provenanceText, readProvenance } from "../provenanceFile.ts";
import { UsageError } from "../usageError.ts";

interface Flags {
  readonly file?: string;
  readonly artifact?: string;
  readonly publicKey?: string;
  readonly requireSignatures?: boolean;
  readonly save?: string;
}

/** Records with what is known beside them. */
interface Evidence extends ProvenanceFile {
  readonly facts: Pick<KnownFacts, "modelHash" | "lastAttempt">;
  /** The server that may have the model; null offline. */
  readonly client: YardmasterClient | null;
}

/** What became of the model. */
interface ArtifactVerdict {
  readonly text: string;
  readonly isChecked: boolean;
  readonly fault: string | null;
}

const MAX_RECORDS = 10_000;
const SHA256 = /^[0-9a-f]{64}$/;

export function verifyCommand(): Command {
  return declareCommand({
    usage: "verify [job]",
    summary: "check a job's provenance and its model",
    description:
      "Check the records of what a job's model was made of: that each is signed by its node, that none was changed or taken " +
      "out, and that the model is the one they name. Ends with 1 and the reason when something does not fit.",
    settings: ["client"],
    examples: [
      ["yardmaster verify job-123", "with the records and the model that the server has"],
      ["yardmaster verify job-123 --save job-123.json", "and keep the records in a file"],
      ["yardmaster verify --file job-123.json --artifact model.bin", "later, without a server"],
    ],
  })
    .option("--file <file>", "records to check, instead of those of a server")
    .option("--artifact <file>", "the model to check, instead of the server's")
    .option(
      "--public-key <key>",
      "key that every record must be signed with (base64), instead of the registered ones",
    )
    .option("--require-signatures", "fail for records that nobody signed")
    .option("--save <file>", "write the records and the nodes' keys to a file")
    .action(async (ref: string | undefined, flags: Flags, command: Command) => {
      await verify(ref, flags, invoke(command));
    });
}

async function verify(ref: string | undefined, flags: Flags, invocation: Invocation): Promise<void> {
  const { terminal, isJson } = invocation;
  const evidence = await evidenceOf(ref, flags, invocation.client);
  const publicKeys = flags.publicKey === undefined ? evidence.publicKeys : pinned(evidence, flags.publicKey);
  const facts = { ...evidence.facts, jobId: evidence.jobId, publicKeys };
  const chain = await checkChain(evidence.records, facts);
  const newest = chain.records.at(-1);
  const artifact =
    newest === undefined ? null : await artifactVerdict(newest, flags.artifact, evidence.client);
  const faults = [...chain.faults, ...(artifact?.fault == null ? [] : [artifact.fault])];
  if (newest === undefined)
    faults.push("there are no provenance records: no agent that keeps them has finished the job");
  for (const [index, { signature }] of chain.records.entries()) {
    if (signature === "unsigned" && flags.requireSignatures)
      faults.push(`record ${index + 1}: nobody signed it`);
  }
  if (flags.save !== undefined) {
    await Bun.write(flags.save, provenanceText({ ...evidence, publicKeys }));
  }
  if (isJson) {
    const { records } = chain;
    terminal.json({ jobId: evidence.jobId, isVerified: faults.length === 0, faults, records, artifact });
  } else {
    for (const [index, record] of chain.records.entries()) {
      terminal.line(await recordLine(index + 1, record, evidence));
    }
    if (artifact !== null) terminal.line(`model: ${oneLine(artifact.text)}`);
    if (faults.length === 0)
      terminal.line(`${terminal.paint("green", "verified")}: ${summary(chain.records)}`);
  }
  if (faults.length > 0) throw new ExitError(EXIT.failed, `not verified: ${oneLine(faults.join("; "))}`);
}

async function evidenceOf(
  ref: string | undefined,
  flags: Flags,
  client: YardmasterClient,
): Promise<Evidence> {
  if (flags.file !== undefined) {
    if (ref !== undefined) throw new UsageError("give a job or --file, not both");
    const file = Bun.file(flags.file);
    if (!(await file.exists())) throw new UsageError(`there is no file ${JSON.stringify(flags.file)}`);
    const saved = readProvenance(await file.text(), flags.file);
    return { ...saved, facts: { modelHash: null, lastAttempt: null }, client: null };
  }
  if (ref === undefined) throw new UsageError("name a job, or a file of records by --file");
  const job = await client.job(jobRef(ref));
  const [kept, attempts] = await Promise.all([
    client.records(job.id, { kind: PROVENANCE, order: "oldest", limit: MAX_RECORDS }),
    client.attempts(job.id),
  ]);
  const records = kept.map(({ data }) => data);
  const nodes = new Set(records.flatMap(({ nodeId }) => (typeof nodeId === "string" ? [nodeId] : [])));
  const publicKeys: Record<string, string> = {};
  for (const node of nodes) {
    const key = await registeredKey(client, node);
    if (key !== null) publicKeys[node] = key;
  }
  const succeeded = attempts.filter(({ outcome }) => outcome === "succeeded").map(({ number }) => number);
  const lastAttempt = succeeded.length === 0 ? null : Math.max(...succeeded);
  return { jobId: job.key, records, publicKeys, facts: { modelHash: modelHashOf(job), lastAttempt }, client };
}

/** What the job's result says, where its newest attempt has brought one. */
function modelHashOf({ state, result }: Job): string | null {
  if (state !== "succeeded" && state !== "failed") return null;
  const isObject = typeof result === "object" && result !== null && !Array.isArray(result);
  return isObject && typeof result.modelHash === "string" ? result.modelHash : null;
}

async function registeredKey(client: YardmasterClient, node: string): Promise<string | null> {
  try {
    return (await client.worker(node)).publicKey;
  } catch (error) {
    // It may have been deleted since.
    if (error instanceof YardmasterError && error.status === 404) return null;
    throw error;
  }
}

/** One key for all nodes that the records name. */
function pinned({ records }: Evidence, publicKey: string): Record<string, string> {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(publicKey)) {
    throw new UsageError("--public-key must be the 32 bytes of an Ed25519 key in base64");
  }
  return Object.fromEntries(
    records.flatMap(({ nodeId }) => (typeof nodeId === "string" ? [[nodeId, publicKey]] : [])),
  );
}

async function artifactVerdict(
  { modelHash, signature }: RecordVerdict,
  file: string | undefined,
  client: YardmasterClient | null,
): Promise<ArtifactVerdict | null> {
  const unchecked = (text: string): ArtifactVerdict => ({ text, isChecked: false, fault: null });
  if (file !== undefined) {
    if (!existsSync(file)) throw new UsageError(`there is no file ${JSON.stringify(file)}`);
    return compared(await digest(Bun.file(file).stream()), modelHash ?? "", file);
  }
  if (modelHash === null || modelHash === "") return unchecked("none was made");
  if (client === null) return unchecked(`${modelHash}, not checked: name its file by --artifact`);
  if (!SHA256.test(modelHash)) return unchecked(`${modelHash} is no SHA-256, so it cannot be checked`);
  try {
    const { body } = await client.getArtifact(modelHash);
    return compared(await digest(body ?? new Blob([]).stream()), modelHash, "the server's file");
  } catch (error) {
    if (!(error instanceof YardmasterError) || error.status !== 404) throw error;
    // Agents of other makers keep their models elsewhere.
    if (signature === "unsigned")
      return unchecked(`${modelHash}, not on this server: name its file by --artifact`);
    const fault = `the model ${modelHash} is not on the server any more`;
    return { text: fault, isChecked: true, fault };
  }
}

function compared({ sha256, bytes }: Digest, expected: string, what: string): ArtifactVerdict {
  if (sha256 === expected) {
    return {
      text: `${what} is the one recorded (SHA-256 ${sha256}, ${bytes} bytes)`,
      isChecked: true,
      fault: null,
    };
  }
  const recorded = expected === "" ? "no model" : expected;
  const fault = `the model is another one: ${what} has the SHA-256 ${sha256}, the newest record names ${recorded}`;
  return { text: `${what} is NOT the one recorded`, isChecked: true, fault };
}

interface Digest {
  readonly sha256: string;
  readonly bytes: number;
}

async function digest(stream: ReadableStream<Uint8Array>): Promise<Digest> {
  const hasher = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const chunk of stream) {
    hasher.update(chunk);
    bytes += chunk.byteLength;
  }
  return { sha256: hasher.digest("hex"), bytes };
}

async function recordLine(number: number, verdict: RecordVerdict, { records }: Evidence): Promise<string> {
  const record = records[number - 1] ?? {};
  const key = typeof record.publicKey === "string" ? ` (key ${await keyName(record.publicKey)})` : "";
  const parts = [
    `record ${number}`,
    ...(verdict.attempt === null ? [] : [`attempt ${verdict.attempt}`]),
    `node ${oneLine(verdict.nodeId ?? "unknown")}`,
    verdict.modelHash === null || verdict.modelHash === ""
      ? "no model"
      : `model ${oneLine(verdict.modelHash.slice(0, 12))}…`,
    `${SIGNATURE_WORDS[verdict.signature]}${key}`,
  ];
  return parts.join(", ");
}

const SIGNATURE_WORDS: Readonly<Record<RecordVerdict["signature"], string>> = {
  signed: "signed by its node",
  unconfirmed: "signed, by a key that nobody else confirms to be the node's",
  unsigned: "unsigned",
  invalid: "NOT VALID",
};

function summary(records: readonly RecordVerdict[]): string {
  const count = (signature: RecordVerdict["signature"]): number =>
    records.filter((record) => record.signature === signature).length;
  const unsigned = count("unsigned");
  const unconfirmed = count("unconfirmed");
  const parts = [
    `${records.length} ${records.length === 1 ? "record" : "records"}, chain whole`,
    ...(unsigned === 0 ? [] : [`${unsigned} unsigned`]),
    ...(unconfirmed === 0 ? [] : [`${unconfirmed} signed by unconfirmed keys`]),
  ];
  return parts.join(", ");
}
