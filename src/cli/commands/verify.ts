/** `yardmaster verify JOB`: whether a job's provenance holds, and whether its model is the one that it names. */
import type { Command } from "commander";
import { keyName } from "../../domain/provenance.ts";
import { checkChain, type RecordVerdict } from "../../domain/provenanceChain.ts";
import { collect, declareCommand, type Invocation, invoke } from "../commandLine.ts";
import { EXIT, ExitError } from "../exitCode.ts";
import { checkModel } from "../modelCheck.ts";
import { oneLine } from "../othersText.ts";
import { type Evidence, evidenceInFile, evidenceOfServer } from "../provenanceEvidence.ts";
import { provenanceText } from "../provenanceFile.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usageError.ts";

interface Flags {
  readonly file?: string;
  readonly artifact?: string;
  readonly publicKey?: readonly string[];
  readonly requireSignatures?: boolean;
  readonly save?: string;
}

/** What the check comes to. The newest record decides: it names the model, and vouches for those before it. */
type Outcome = "verified" | "unconfirmed" | "unsigned" | "failed";

export function verifyCommand(): Command {
  return declareCommand({
    usage: "verify [job]",
    summary: "check a job's provenance and its model",
    description:
      "Check the records of what a job's model was made of: that each is signed by its node, that none was changed or taken " +
      "out, and that the model is the one they name. Ends with 1 and the reason when something does not fit. Records that " +
      "fit are `verified` only where a key of the server, or one that you give, has signed the newest.",
    settings: ["client"],
    examples: [
      ["yardmaster verify job-123", "with the records, keys and model that the server has"],
      ["yardmaster verify job-123 --save job-123.json", "and keep the records in a file"],
      [
        "yardmaster verify --file job-123.json --artifact model.bin --public-key KEY",
        "later, without a server; KEY is the node's publicKey, as `yardmaster workers --json` shows it",
      ],
    ],
  })
    .option("--file <file>", "records to check, instead of those of a server")
    .option("--artifact <file>", "the model to check, instead of the server's")
    .option(
      "--public-key <key>",
      "key (base64) that every record must be signed with, instead of those that the server or the file names; " +
        "given several times, one of them",
      collect,
    )
    .option("--require-signatures", "fail for records that nobody signed")
    .option("--save <file>", "write the records and the registered keys of their nodes to a file")
    .action(async (ref: string | undefined, flags: Flags, command: Command) => {
      await verify(ref, flags, invoke(command));
    });
}

async function verify(ref: string | undefined, flags: Flags, invocation: Invocation): Promise<void> {
  const { terminal, isJson } = invocation;
  const pinnedKeys = flags.publicKey?.map(publicKeyIn) ?? null;
  const evidence = await evidenceFor(ref, flags.file, invocation);
  const { jobId, nodeKeys, source } = evidence;
  const { records, faults: chainFaults } = await checkChain(evidence.records, {
    ...{ ...evidence.facts, jobId, nodeKeys, pinnedKeys },
    areNodeKeysConfirmed: source !== null,
    requiresSignatures: flags.requireSignatures === true,
  });
  const newest = records.at(-1);
  const artifact =
    newest === undefined ? null : await checkModel(newest, flags.artifact ?? null, source?.client ?? null);
  const faults = [
    ...chainFaults,
    ...(artifact === null || artifact.fault === null ? [] : [artifact.fault]),
    ...evidence.faults,
  ];
  const outcome = faults.length > 0 || newest === undefined ? "failed" : outcomeOf(newest);
  if (flags.save !== undefined) await Bun.write(flags.save, provenanceText(evidence));
  if (isJson) {
    const id = source?.job.id ?? null;
    const isVerified = outcome === "verified";
    terminal.json({ jobId, id, outcome, isVerified, faults, records, artifact });
  } else {
    terminal.line(jobLine(evidence));
    const words = signatureWords(evidence, pinnedKeys !== null);
    for (const [index, record] of records.entries()) {
      terminal.line(await recordLine(index + 1, record, words[record.signature], evidence));
    }
    if (artifact !== null) terminal.line(`model: ${oneLine(artifact.text)}`);
    if (outcome !== "failed") tellOutcome(terminal, outcome, records, evidence);
  }
  if (faults.length > 0) throw new ExitError(EXIT.failed, `not verified: ${oneLine(faults.join("; "))}`);
}

async function evidenceFor(
  ref: string | undefined,
  file: string | undefined,
  { client }: Invocation,
): Promise<Evidence> {
  if (file === undefined) {
    if (ref === undefined) throw new UsageError("name a job, or a file of records by --file");
    return evidenceOfServer(ref, client);
  }
  if (ref !== undefined) throw new UsageError("give a job or --file, not both");
  return evidenceInFile(file);
}

function publicKeyIn(text: string): string {
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return text;
  throw new UsageError("--public-key must be the 32 bytes of an Ed25519 key in base64");
}

function outcomeOf({ signature }: RecordVerdict): Outcome {
  switch (signature) {
    case "signed":
    case "signedByEarlierKey":
      return "verified";
    case "unconfirmed":
    case "unsigned":
      return signature;
    case "invalid":
      return "failed";
  }
}

/** Which job this is: a number may be one job's id and another's key. */
function jobLine({ source, jobId }: Evidence): string {
  if (source !== null) return `job ${oneLine(JSON.stringify(source.job.key))}, id ${source.job.id}`;
  return jobId === null
    ? "job not named by the file"
    : `job ${oneLine(JSON.stringify(jobId))}, as the file says`;
}

async function recordLine(
  number: number,
  verdict: RecordVerdict,
  signatureWord: string,
  { records }: Evidence,
): Promise<string> {
  const record = records[number - 1] ?? {};
  const key = typeof record.publicKey === "string" ? ` (key ${await keyName(record.publicKey)})` : "";
  const parts = [
    `record ${number}`,
    ...(verdict.attempt === null ? [] : [`attempt ${verdict.attempt}`]),
    `node ${oneLine(verdict.nodeId ?? "unknown")}`,
    verdict.modelHash === null || verdict.modelHash === ""
      ? "no model"
      : `model ${oneLine(verdict.modelHash.slice(0, 12))}…`,
    `${signatureWord}${key}`,
  ];
  return parts.join(", ");
}

function signatureWords(
  { source }: Evidence,
  isPinned: boolean,
): Readonly<Record<RecordVerdict["signature"], string>> {
  return {
    signed: isPinned ? "signed with a given key" : "signed by its node",
    signedByEarlierKey: "signed by an earlier key of this node",
    unconfirmed:
      source === null
        ? "signed, by a key that only the file calls the node's: unconfirmed"
        : "signed, by a key that nobody else confirms to be the node's",
    unsigned: "not signed",
    invalid: "NOT VALID",
  };
}

function tellOutcome(
  terminal: Terminal,
  outcome: Exclude<Outcome, "failed">,
  records: readonly RecordVerdict[],
  { source }: Evidence,
): void {
  const text = summary(records);
  switch (outcome) {
    case "verified":
      terminal.line(`${terminal.paint("green", "verified")}: ${text}`);
      return;
    case "unsigned":
      terminal.line(`not signed: ${text}; nobody vouches for what the newest says`);
      return;
    case "unconfirmed":
      terminal.line(
        source === null
          ? `unconfirmed: ${text}; the keys are taken from the file, which anybody can write: give the node's by --public-key`
          : `unconfirmed: ${text}; the server has no key of the newest one's node: give it by --public-key`,
      );
  }
}

function summary(records: readonly RecordVerdict[]): string {
  const count = (signature: RecordVerdict["signature"]): number =>
    records.filter((record) => record.signature === signature).length;
  const unsigned = count("unsigned");
  const unconfirmed = count("unconfirmed");
  const earlier = count("signedByEarlierKey");
  const parts = [
    `${records.length} ${records.length === 1 ? "record" : "records"}`,
    ...(unsigned === records.length ? [] : ["chain whole"]),
    ...(unsigned === 0 || unsigned === records.length ? [] : [`${unsigned} not signed`]),
    ...(unconfirmed === 0 ? [] : [`${unconfirmed} signed by unconfirmed keys`]),
    ...(earlier === 0 ? [] : [`${earlier} signed by earlier keys`]),
  ];
  return parts.join(", ");
}
