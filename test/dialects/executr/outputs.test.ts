/** What programs print: any bytes, cut where there is too much, in bodies up to 13 MiB. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cutOutput, maxOutputBytes } from "../../../src/domain/outputCut.ts";
import { type ExecutrServer, GO, startExecutr } from "./executrServer.ts";

const MIB = 1024 * 1024;
let server: ExecutrServer;
beforeAll(async () => {
  server = await startExecutr();
});
afterAll(() => server[Symbol.asyncDispose]());

test("NULs and halves of characters are stored as replacement characters, in messages too", async () => {
  const { api } = server;
  const id = await api.running();
  const report = `{"executor_id":"worker-1","stdout":"a\\u0000b\\ud800c","stderr":"\\udc00","error_message":"x\\u0000"}`;
  expect((await api.put(`/jobs/${id}/fail`, report)).status).toBe(200);
  const replaced = { stdout: "a\ufffdb\ufffdc", stderr: "\ufffd", error_message: "x\ufffd" };
  expect(await api.job(id)).toMatchObject(replaced);
  expect((await api.put(`/jobs/${id}/fail`, report)).status).toBe(200);
});

test("bytes that are no UTF-8 are stored as replacement characters", async () => {
  const { api } = server;
  const id = await api.running();
  const body = new Blob(['{"executor_id":"worker-1","stdout":"a', new Uint8Array([0xff, 0xc3]), '"}']);
  expect((await api.put(`/jobs/${id}/complete`, body)).status).toBe(200);
  expect((await api.job(id)).stdout).toBe("a\ufffd\ufffd");
});

test("outputs over 1 MiB are cut by the rule, each for itself; a repeat with the whole is the same content", async () => {
  const { api } = server;
  const id = await api.running();
  const stdout = Array.from({ length: 200_000 }, (_, n) => `line ${n} of the output`).join("\n");
  const stderr = "é".repeat(MIB);
  const answer = await api.complete(id, { stdout, stderr });
  expect(answer.status).toBe(200);
  expect(answer.body.stdout).toBe(cutOutput(stdout));
  expect(answer.body.stderr).toBe(cutOutput(stderr));
  for (const text of [answer.body.stdout, answer.body.stderr]) {
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(maxOutputBytes);
    expect(text).not.toContain("\ufffd");
  }
  expect(answer.body.stdout.split("\n", 500)).toEqual(stdout.split("\n", 500));
  expect(answer.body.stdout).toContain(String(Buffer.byteLength(stdout)));
  expect(answer.body.stdout).toEndWith("line 199999 of the output");
  expect((await api.complete(id, { stdout, stderr }, GO)).status).toBe(204);
});

test("an output of exactly 1 MiB stays as it is", async () => {
  const { api } = server;
  const id = await api.running();
  const stdout = `${"x".repeat(MIB - 1)}\n`;
  expect((await api.complete(id, { stdout })).body.stdout).toBe(stdout);
});

test("bodies of 13 MiB are taken, those of 14 MiB are 413", async () => {
  const { api } = server;
  for (const end of ["complete", "fail"]) {
    const id = await api.running();
    // As Go writes two outputs of 1 MiB that are all NUL: six characters a byte.
    const nul = "\\u0000".repeat(MIB);
    const small = `{"executor_id":"worker-1","error_message":"e","stdout":"${nul}","stderr":"${nul}"`;
    const large = `${small},"padding":"${"x".repeat(2 * MIB)}"}`;
    const refused = await api.put(`/jobs/${id}/${end}`, large, GO);
    expect([refused.status, refused.body.context]).toEqual([413, { max_bytes: 13 * MIB + 64 * 1024 }]);
    expect((await api.job(id)).status).toBe("running");
    const taken = await api.put(`/jobs/${id}/${end}`, `${small},"padding":"${"x".repeat(MIB - 200)}"}`, GO);
    expect([taken.status, taken.text]).toEqual([204, ""]);
    const { stdout, stderr } = await api.job(id);
    expect(Buffer.byteLength(stdout)).toBeLessThanOrEqual(maxOutputBytes);
    expect(stdout).toBe(stderr);
    expect(stdout.startsWith("\ufffd")).toBe(true);
  }
});
