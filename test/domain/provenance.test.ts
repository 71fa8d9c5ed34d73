import { describe, expect, test } from "bun:test";
import { canonicalJson } from "../../src/domain/canonicalJson.ts";
import type { JsonObject } from "../../src/domain/job.ts";
import {
  hasValidSignature,
  makeNodeKey,
  type NodeKey,
  nodeKeyText,
  readNodeKey,
  recordHash,
  signRecord,
} from "../../src/domain/provenance.ts";
import { checkChain, type KnownFacts } from "../../src/domain/provenanceChain.ts";

const NOTHING_KNOWN: KnownFacts = {
  ...{ jobId: null, modelHash: null, lastAttempt: null, nodeKeys: new Map(), areNodeKeysConfirmed: true },
  ...{ pinnedKeys: null, requiresSignatures: false },
};

/** The server's word for the keys of one node. */
function registered(node: string, current: string | null, earlier: readonly string[] = []): KnownFacts {
  return { ...NOTHING_KNOWN, nodeKeys: new Map([[node, { current, earlier }]]) };
}

function pinned(...pinnedKeys: readonly string[]): KnownFacts {
  return { ...NOTHING_KNOWN, pinnedKeys };
}

/** As an agent that signs nothing writes it. */
function withoutProof(record: JsonObject): JsonObject {
  const { signature: _, publicKey: __, previous: ___, version: ____, ...rest } = record;
  return rest;
}

/** Records of a job, chained and signed, one for each attempt. */
async function chain(key: NodeKey, length: number): Promise<JsonObject[]> {
  const records: JsonObject[] = [];
  for (let attempt = 1; attempt <= length; attempt++) {
    const before = records.at(-1);
    const previous = before === undefined ? null : await recordHash(before);
    const record = { jobId: "job-1", nodeId: "node-1", modelHash: `hash ${attempt}`, attempt, version: 1 };
    records.push(await signRecord({ ...record, metadata: { loss: 0.25 }, previous }, key));
  }
  return records;
}

describe("canonical JSON", () => {
  test("is the same however the value was written", () => {
    const a = JSON.parse('{"b": [1, 2.50, 1e21], "a": {"é": "\\u20ac", "_": null}, "aa": true}');
    expect(canonicalJson(a)).toBe('{"a":{"_":null,"é":"€"},"aa":true,"b":[1,2.5,1e+21]}');
    expect(canonicalJson({ b: 1, a: -0 })).toBe('{"a":0,"b":1}');
  });
  test("sorts names as RFC 8785 has them", () => {
    const names = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, ö: 7 };
    expect(Object.values<number>(JSON.parse(canonicalJson(names)))).toBeArrayOfSize(7);
    expect(canonicalJson(names)).toBe(
      '{"\\r":2,"1":4,"\u0080":6,"ö":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}',
    );
  });
  test("writes what has no form as it comes back from a store", () => {
    const odd = JSON.parse('{"\\uD800": "\\udC00", "n": 1e999}');
    expect(canonicalJson(odd)).toBe('{"n":null,"\\ud800":"\\udc00"}');
    expect(canonicalJson(JSON.parse(JSON.stringify(odd)))).toBe(canonicalJson(odd));
  });
});

describe("a node's key", () => {
  test("comes back from its text and signs what its public half confirms", async () => {
    const made = await makeNodeKey();
    const read = await readNodeKey(await nodeKeyText(made));
    expect(read.publicKey).toBe(made.publicKey);
    const signed = await signRecord({ a: 1 }, read);
    expect(await hasValidSignature(signed, made.publicKey)).toBe(true);
    expect(await hasValidSignature(signed, (await makeNodeKey()).publicKey)).toBe(false);
    expect(await hasValidSignature({ ...signed, a: 2 }, made.publicKey)).toBe(false);
    expect(await hasValidSignature({ ...signed, signature: "!" }, made.publicKey)).toBe(false);
    expect(await hasValidSignature(signed, "short")).toBe(false);
  });
  test("is refused when it is torn or its halves do not belong together", async () => {
    const text = await nodeKeyText(await makeNodeKey());
    const other = await makeNodeKey();
    await expect(readNodeKey(text.slice(0, 60))).rejects.toThrow();
    await expect(readNodeKey(text.replace(/\n[^\n]+\n$/, `\n${other.publicKey}\n`))).rejects.toThrow();
  });
});

describe("a job's chain of records", () => {
  test("holds when nothing was touched, whatever the order of the fields", async () => {
    const key = await makeNodeKey();
    const records = await chain(key, 3);
    const shuffled = records.map((record) => Object.fromEntries(Object.entries(record).reverse()));
    const known = {
      ...registered("node-1", key.publicKey),
      ...{ jobId: "job-1", modelHash: "hash 3", lastAttempt: 3 },
    };
    const verdict = await checkChain(shuffled, known);
    expect(verdict.faults).toEqual([]);
    expect(verdict.records.map((record) => record.signature)).toEqual(["signed", "signed", "signed"]);
  });
  test("tells a record that was changed", async () => {
    const records = await chain(await makeNodeKey(), 3);
    const changed = records.map((record, index) =>
      index === 1 ? { ...record, modelHash: "forged" } : record,
    );
    const { faults } = await checkChain(changed, NOTHING_KNOWN);
    expect(faults).toContain("record 2: its signature does not fit: it was changed after it was signed");
    expect(faults.some((fault) => fault.startsWith("record 3: the record before it was changed"))).toBe(true);
  });
  test("tells a record in the middle that was signed anew by another key", async () => {
    const records = await chain(await makeNodeKey(), 3);
    const { signature: _, publicKey: __, ...middle } = records[1] ?? {};
    const forged = await signRecord({ ...middle, modelHash: "forged" }, await makeNodeKey());
    const { faults } = await checkChain([records[0] ?? {}, forged, records[2] ?? {}], NOTHING_KNOWN);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toStartWith("record 3:");
  });
  test("tells a record taken out from the middle, the beginning or the end", async () => {
    const records = await chain(await makeNodeKey(), 3);
    const [first = {}, second = {}, third = {}] = records;
    expect((await checkChain([first, third], NOTHING_KNOWN)).faults).toHaveLength(1);
    expect((await checkChain([second, third], NOTHING_KNOWN)).faults).toHaveLength(1);
    expect((await checkChain([second, first, third], NOTHING_KNOWN)).faults.length).toBeGreaterThan(0);
    const atEnd = await checkChain([first, second], {
      ...NOTHING_KNOWN,
      modelHash: "hash 3",
      lastAttempt: 3,
    });
    expect(atEnd.faults).toHaveLength(2);
  });
  test("tells a node that signs with a key that is not its own, and a signature taken away", async () => {
    const key = await makeNodeKey();
    const [record = {}] = await chain(key, 1);
    const other = (await makeNodeKey()).publicKey;
    const strange = await checkChain([record], registered("node-1", other));
    expect(strange.faults).toHaveLength(1);
    const { signature: _, ...stripped } = record;
    expect((await checkChain([stripped], NOTHING_KNOWN)).faults[0]).toContain("taken away");
    expect((await checkChain([record], { ...NOTHING_KNOWN, jobId: "job-2" })).faults[0]).toContain("job-2");
  });
  test("reads unsigned records of other agents, and chains go on from them", async () => {
    const unsigned: JsonObject = {
      jobId: "job-1",
      nodeId: "old",
      modelHash: "",
      modelSizeBytes: 0,
      metadata: {},
      ts: 1,
    };
    const key = await makeNodeKey();
    const next = await signRecord(
      { jobId: "job-1", nodeId: "n", version: 1, previous: await recordHash(unsigned) },
      key,
    );
    const verdict = await checkChain([unsigned, next], NOTHING_KNOWN);
    expect(verdict.faults).toEqual([]);
    expect(verdict.records.map((record) => record.signature)).toEqual(["unsigned", "unconfirmed"]);
    const changed = await checkChain([{ ...unsigned, modelHash: "x" }, next], NOTHING_KNOWN);
    expect(changed.faults).toHaveLength(1);
  });
  test("tells a record without a signature of a node that has a key, or signed another one", async () => {
    const key = await makeNodeKey();
    const records = await chain(key, 3);
    const [first = {}, second = {}, third = {}] = records;
    const stripped = { ...withoutProof(third), modelHash: "forged" };
    for (const facts of [
      ...[NOTHING_KNOWN, registered("node-1", key.publicKey), registered("node-1", null, [key.publicKey])],
      pinned(key.publicKey),
    ]) {
      const { faults, records: verdicts } = await checkChain([first, second, stripped], facts);
      expect(faults).toEqual(['record 3: nobody signed it, though its node "node-1" has a key']);
      expect(verdicts[2]?.signature).toBe("invalid");
    }
    const all = await checkChain(records.map(withoutProof), registered("node-1", key.publicKey));
    expect(all.faults).toHaveLength(3);
  });
  test("tells every record that nobody signed where a key is given, or signatures are asked for", async () => {
    const key = await makeNodeKey();
    const records = (await chain(key, 2)).map(withoutProof);
    const told = ["record 1: nobody signed it", "record 2: nobody signed it"];
    expect((await checkChain(records, pinned(key.publicKey))).faults).toEqual(told);
    expect((await checkChain(records, { ...NOTHING_KNOWN, requiresSignatures: true })).faults).toEqual(told);
    expect((await checkChain(records, NOTHING_KNOWN)).records[0]?.signature).toBe("unsigned");
  });
  test("holds every signature against the keys that are given, whatever node a record names", async () => {
    const [key, other] = [await makeNodeKey(), await makeNodeKey()];
    const records = await chain(key, 2);
    const good = await checkChain(records, pinned(other.publicKey, key.publicKey));
    expect([good.faults, good.records[1]?.signature]).toEqual([[], "signed"]);
    for (const nodeId of ["node-1", "constructor", 7, null]) {
      const record = await signRecord({ jobId: "job-1", nodeId, version: 1, previous: null }, other);
      const { faults } = await checkChain([record], pinned(key.publicKey));
      expect(faults).toContain("record 1: it is not signed with a key that was given");
    }
  });
  test("tells a record that names no node, signed or not", async () => {
    const key = await makeNodeKey();
    for (const nodeId of [7, null, ["node-1"], {}]) {
      const record = { jobId: "job-1", nodeId, version: 1, previous: null };
      for (const facts of [NOTHING_KNOWN, pinned(key.publicKey)]) {
        const signed = await checkChain([await signRecord(record, key)], facts);
        expect(signed.faults).toEqual(["record 1: it does not name its node: nodeId is no text"]);
      }
      const { faults } = await checkChain([{ jobId: "job-1", nodeId }], NOTHING_KNOWN);
      expect(faults).toEqual(["record 1: it does not name its node: nodeId is no text"]);
    }
  });
  test("goes on with a node's new key, and takes keys that nobody confirms for what they are", async () => {
    const [before, after] = [await makeNodeKey(), await makeNodeKey()];
    const [first = {}] = await chain(before, 1);
    const previous = await recordHash(first);
    const second = await signRecord({ jobId: "job-1", nodeId: "node-1", version: 1, previous }, after);
    const known = registered("node-1", after.publicKey, [before.publicKey]);
    const verdict = await checkChain([first, second], known);
    expect(verdict.faults).toEqual([]);
    expect(verdict.records.map(({ signature }) => signature)).toEqual(["signedByEarlierKey", "signed"]);
    const claimed = await checkChain([first, second], { ...known, areNodeKeysConfirmed: false });
    expect(claimed.faults).toEqual([]);
    expect(claimed.records.map(({ signature }) => signature)).toEqual(["unconfirmed", "unconfirmed"]);
    expect((await checkChain([first, second], registered("node-1", after.publicKey))).faults).toHaveLength(1);
  });
  test("tells records of several jobs apart also where the job is not known", async () => {
    const records = [
      { jobId: "a", nodeId: "n" },
      { jobId: "b", nodeId: "n" },
    ];
    expect((await checkChain(records, NOTHING_KNOWN)).faults).toEqual([
      'record 2: it is of the job "b", not of "a"',
    ]);
  });
});
