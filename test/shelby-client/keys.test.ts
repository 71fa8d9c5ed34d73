/** The client with a key, against a server that asks for one: its agent runs scripts with a key of its own. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ShelbyClient } from "@yardmaster/client/shelby";
import { Scratch } from "../cli/yardmasterProcess.ts";

const scratch = new Scratch();
let url = "";
beforeAll(async () => {
  ({ url } = await scratch.start(["up", "--data", "data", "--api-key", "boss-key"]));
});
afterAll(() => scratch.dispose());

test("a job is run and followed; without a key, or with a wrong one, nothing is", async () => {
  const client = new ShelbyClient({ baseUrl: url, apiKey: "boss-key" });
  const script = "print('with a key')\nopen('output/model.bin', 'w').write('weights')";
  const { jobId } = await client.run({ datasetName: "None" }, { script });
  const lines: string[] = [];
  for await (const { line } of client.followLog(jobId)) lines.push(line);
  expect(lines).toContain("with a key");
  expect(await client.wait(jobId, { timeoutMs: 20_000 })).toMatchObject({ status: "finished" });
  const verified = await scratch.run(["verify", jobId, "--server", url], { YARDMASTER_API_KEY: "boss-key" });
  expect([verified.exitCode, verified.stderr]).toEqual([0, ""]);

  const stranger = new ShelbyClient({ baseUrl: url, maxRetries: 0 });
  expect(await stranger.jobs().catch((error: unknown) => error)).toMatchObject({ status: 401 });
  const next = stranger.followLog(jobId).next();
  expect(await next.catch((error: unknown) => error)).toMatchObject({ name: "ShelbyError", status: 401 });
  const wrong = new ShelbyClient({ baseUrl: url, token: "nonsense", maxRetries: 0 });
  expect(await wrong.nodes().catch((error: unknown) => error)).toMatchObject({ name: "ShelbyError" });
}, 60_000);
