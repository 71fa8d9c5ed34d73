/** What others name their jobs and nodes, and what they report, is data on a terminal too. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { indented, oneLine, withoutControls } from "../../src/cli/othersText.ts";
import { Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
let url = "";
beforeAll(async () => {
  ({ url } = await scratch.start(["serve", "--data", "data"]));
});
afterAll(() => scratch.dispose());

/** Sets the window's title, clears the screen in two ways, and turns the direction of text. */
const HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b2J\u202eevil\u2066\x7f\b";
const FAKED = "\nverified: 9 records, chain whole\rstate       succeeded";

test("what a terminal obeys is taken out; colours, tabs and ends of lines stay", () => {
  expect(withoutControls(`a\t\x1b[31mb\x1b[39m\n${HOSTILE}`)).toBe("a\t\x1b[31mb\x1b[39m\n]0;title[2J2Jevil");
  expect(withoutControls("\x1b\x1b[31m \x1b[3\x001m \x1b\x1b]")).toBe("\x1b[31m [31m ]");
  expect(withoutControls("é 😀 שלום <b>")).toBe("é 😀 שלום <b>");
  expect(oneLine("a\n\r\u2028 b\x00")).toBe("a b");
  expect(indented("a\nb\rc\r\nd", 2)).toBe("a\n  b\n  c\n  d");
});

test("jobs, nodes and provenance with controls in every text are shown without them", async () => {
  const post = async (path: string, body: object) => {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    expect([path, response.status]).toEqual([path, 200]);
  };
  const text = `${HOSTILE}${FAKED}`;
  const nodeId = `n${text}`;
  await post("/api/jobs/create", { jobId: "j", datasetName: text, meta: { [text]: text } });
  await post("/api/jobs/upload-script", { jobId: "j", script: "x", entrypoint: text, requirements: text });
  await post("/api/jobs/ack", { nodeId, jobId: "j" });
  const metadata = { error: text, signature: text, publicKey: text, [text]: text };
  await post("/api/jobs/finish", {
    ...{ nodeId, jobId: "j", modelHash: text, modelSizeBytes: 1, metadata, durationSeconds: 1 },
  });
  for (const argv of [["jobs"], ["job", "j"], ["workers"], ["verify", "j"], ["cancel", "j"], ["job", text]]) {
    const { stdout, stderr } = await scratch.run([...argv, "--server", url]);
    const shown = `${stdout}${stderr}`;
    expect([argv[0], shown.match(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g)]).toEqual([
      argv[0],
      null,
    ]);
    // No line of theirs passes for one of the command's own.
    const faked = shown.split("\n").filter((line) => /^(verified: 9|state {7}succeeded)/.test(line));
    expect([argv[0], faked]).toEqual([argv[0], []]);
  }
  // Programs get it as it is.
  const { stdout } = await scratch.run(["job", "j", "--json", "--server", url]);
  expect(JSON.parse(stdout)).toMatchObject({ name: text, error: text, workerId: nodeId });
}, 60_000);
