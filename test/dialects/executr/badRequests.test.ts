/** Bad input of every kind at every call: refused in Executr's shape, never a 5xx, and nothing is changed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { aJob, type ExecutrServer, GO, NOBODY, startExecutr } from "./executrServer.ts";

let server: ExecutrServer;
beforeAll(async () => {
  server = await startExecutr();
});
afterAll(async () => {
  expect(server.errors).toEqual([]);
  expect((await server.api.get("/jobs")).json).toEqual([]);
  await server[Symbol.asyncDispose]();
});

const error = { error: expect.any(String), context: expect.any(Object) };
const BODIES: readonly [string, string][] = [
  ["POST", "/jobs"],
  ["POST", "/jobs/bulk"],
  ["POST", "/jobs/bulk/cancel"],
  ["POST", "/jobs/claim"],
  ["PUT", `/jobs/${NOBODY}/heartbeat`],
  ["PUT", `/jobs/${NOBODY}/complete`],
  ["PUT", `/jobs/${NOBODY}/fail`],
];

describe.each(BODIES)("%s %s", (method, path) => {
  const deep = `${"[".repeat(5_000)}${"]".repeat(5_000)}`;
  const bodies: readonly (readonly [string, string | undefined])[] = [
    ["nothing", undefined],
    ["no JSON", "{"],
    ["a word", "nonsense"],
    ["null", "null"],
    ["a number", "5"],
    ["a text", '"x"'],
    ["nothing in it", "{}"],
    ["an empty list", "[]"],
    ["a list of nulls", "[null]"],
    ["deep nesting", deep],
    ["deep nesting in a field", `{"executor_id":${deep},"type":${deep},"job_ids":${deep}}`],
    ["wrong types", '{"executor_id":1,"executor_ip":{},"type":[],"job_ids":5,"error_message":false}'],
    ["ids of wrong types", '{"job_ids":[1,{},null]}'],
    ["NULs", '{"executor_id":"a\\u0000","executor_ip":"\\u0000","type":"\\u0000","error_message":"x"}'],
    ["half a character", '{"executor_id":"\\ud800","executor_ip":"\\ud800","error_message":"x"}'],
    [
      "a long text",
      JSON.stringify({ executor_id: "x".repeat(100_000), executor_ip: "h", error_message: "e" }),
    ],
  ];
  test.each(bodies)("refuses %s", async (what, body) => {
    for (const headers of [{}, GO]) {
      const answer = await server.api.call(method, path, body, headers);
      // The bulk calls judge each item, and a type may be any text there.
      if (path === "/jobs/bulk/cancel" && what === "NULs") expect(answer.status).toBe(200);
      else if (path === "/jobs/bulk" && what === "a list of nulls" && headers === GO) {
        expect(answer.body).toMatchObject({ total: 1, failed: 1 });
      } else expect([what, answer.status, answer.json]).toEqual([what, 400, error]);
    }
  });

  test("refuses other types of body, and bodies that are too long", async () => {
    const xml = await server.api.call(method, path, "<x/>", { "content-type": "text/xml" });
    expect([xml.status, xml.json]).toEqual([400, error]);
    const long = await server.api.call(method, path, `"${"x".repeat(17 * 1024 * 1024)}"`);
    expect([long.status, long.json]).toEqual([413, error]);
  });

  test("refuses bytes that are no UTF-8", async () => {
    const { status, json } = await server.api.call(
      method,
      path,
      new Blob([new Uint8Array([0x22, 0xff, 0x22])]),
    );
    expect([status, json]).toEqual([400, error]);
  });
});

test.each([
  ["type", ""],
  ["type", "a b"],
  ["type", "a\tb"],
  ["type", "a\u00a0b"],
  ["type", "a\0b"],
  ["type", "x".repeat(256)],
  ["type", 5],
  ["type", null],
  ["binary_url", ""],
  ["binary_url", "example.com/binary"],
  ["binary_url", "ftp://example.com/binary"],
  ["binary_url", "file:///etc/passwd"],
  ["binary_url", "javascript:alert(1)"],
  ["binary_url", "https://"],
  ["binary_url", "https://exa mple.com/"],
  ["binary_url", "https://example.com/\0"],
  ["binary_url", `https://example.com/${"x".repeat(9_000)}`],
  ["binary_url", {}],
  ["binary_sha256", ""],
  ["binary_sha256", "abc123..."],
  ["binary_sha256", "g".repeat(64)],
  ["binary_sha256", "a".repeat(63)],
  ["binary_sha256", "a".repeat(65)],
  ["binary_sha256", `${"a".repeat(64)}\n`],
  ["binary_sha256", `../../${"a".repeat(58)}`],
  ["binary_sha256", 5],
  ["arguments", "x"],
  ["arguments", [1]],
  ["arguments", ["a\0b"]],
  ["arguments", ["\ud800"]],
  ["arguments", { 0: "x" }],
  ["arguments", Array.from({ length: 10_001 }, () => "x")],
  ["env_variables", []],
  ["env_variables", "A=b"],
  ["env_variables", { A: 1 }],
  ["env_variables", { A: null }],
  ["env_variables", { "": "x" }],
  ["env_variables", { "A=B": "x" }],
  ["env_variables", { A: "b\0" }],
  ["env_variables", { "A\0": "b" }],
  ["priority", "URGENT"],
  ["priority", ""],
  ["priority", 10],
  ["priority", null],
  ["max_retries", -1],
  ["max_retries", 1.5],
  ["max_retries", "3"],
  ["max_retries", 1e300],
] as const)("submit: a wrong %s is named (%#)", async (field, value) => {
  const single = await server.api.post("/jobs", aJob({ [field]: value }), GO);
  expect([single.status, single.json]).toEqual([
    400,
    { error: expect.stringContaining(field), context: { field } },
  ]);
  const bulk = await server.api.post("/jobs/bulk", [aJob(), aJob({ [field]: value })]);
  expect([bulk.status, bulk.body.context]).toEqual([400, { index: 1, field }]);
});

test.each([
  ["status", "?status=done"],
  ["status", "?status=PENDING"],
  ["priority", "?priority=high"],
  ["limit", "?limit=abc"],
  ["limit", "?limit=1.5"],
  ["limit", "?limit=1e3"],
  ["limit", "?limit=0x10"],
  ["offset", "?offset=abc"],
  ["offset", "?offset=-1"],
  ["limit", "?limit=%00"],
])("list: %s in %s is named", async (field, query) => {
  const { status, json } = await server.api.get(`/jobs${query}`, GO);
  expect([status, json]).toEqual([400, { error: expect.stringContaining(field), context: { field } }]);
});

test.each(["?type=%00", "?type=%ff", "?offset=99999999999999999999", "?type='%20OR%201=1--"])(
  "list: %s finds nothing",
  async (query) => {
    const { status, json } = await server.api.get(`/jobs${query}`);
    expect([status, json]).toEqual([200, []]);
  },
);

test("bulk submit: partial is a truth", async () => {
  const { status, body } = await server.api.post("/jobs/bulk?partial=maybe", [aJob()]);
  expect([status, body.context]).toEqual([400, { field: "partial" }]);
});

test("an id that is no UUID is 400 everywhere", async () => {
  const { api } = server;
  for (const id of ["1", "nonsense", "%00", "..%2f..%2fetc", NOBODY.slice(1), `${NOBODY}0`, "%ff", "bulk"]) {
    const answers = [
      await api.get(`/jobs/${id}`),
      await api.delete(`/jobs/${id}`),
      await api.heartbeat(id),
      await api.complete(id),
      await api.fail(id, {}, GO),
    ];
    for (const { status, json } of answers) {
      expect([id, status, json]).toEqual([
        id,
        400,
        { error: expect.any(String), context: expect.any(Object) },
      ]);
    }
  }
});

test("unknown paths are 404 and wrong methods 405 with Allow, as JSON", async () => {
  const { api } = server;
  for (const path of ["", "/", "/nothing", "/jobs/", `/jobs/${NOBODY}/nothing`, "/admin", "/admin/nothing"]) {
    const { status, json } = await api.get(path);
    expect([path, status, json]).toEqual([path, 404, error]);
  }
  for (const [method, path, allowed] of [
    ["PUT", "/jobs", "GET, HEAD, POST"],
    ["DELETE", "/jobs", "GET, HEAD, POST"],
    ["POST", `/jobs/${NOBODY}`, "DELETE, GET, HEAD"],
    ["POST", `/jobs/${NOBODY}/heartbeat`, "PUT"],
    ["GET", `/jobs/${NOBODY}/complete`, "PUT"],
    ["GET", "/jobs/bulk/cancel", "POST"],
    ["POST", "/health", "GET, HEAD"],
    ["DELETE", "/metrics", "GET, HEAD"],
    ["POST", "/admin/stats", "GET, HEAD"],
    ["OPTIONS", "/jobs", "GET, HEAD, POST"],
  ] as const) {
    const { status, json, headers } = await api.call(method, path);
    expect([path, status, json, headers.get("allow")]).toEqual([path, 405, error, allowed]);
  }
});

test("exit codes are whole numbers of 32 bits", async () => {
  await using own = await startExecutr();
  const { api } = own;
  const id = await api.running();
  for (const code of [1.5, "0", 2 ** 40, -(2 ** 40), {}]) {
    const { status, body } = await api.complete(id, { exit_code: code });
    expect([code, status, body.context]).toEqual([code, 400, { field: "exit_code" }]);
  }
  for (const field of ["stdout", "stderr"]) {
    expect((await api.complete(id, { [field]: 5 })).body.context).toEqual({ field });
  }
  expect((await api.complete(id, { exit_code: -1, stdout: null, stderr: null })).body.exit_code).toBe(-1);
});
