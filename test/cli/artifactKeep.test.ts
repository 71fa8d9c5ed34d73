import { afterAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
afterAll(() => scratch.dispose());

test("a script goes some time after the job that it was uploaded for; what a job names stays", async () => {
  const server = await scratch.start([
    ...["serve", "--data", "d", "--log-level", "silent"],
    ...["--retain-artifacts-ms", "1s", "--shelby-script-keep-ms", "1s"],
  ]);
  const post = async (path: string, body: object) => {
    const answer = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect([path, answer.status]).toEqual([path, 200]);
  };
  const isThere = (script: string) => {
    const sha256 = new Bun.CryptoHasher("sha256").update(script).digest("hex");
    // Who asks the server makes it young again.
    return existsSync(join(scratch.folder, "d", "artifacts", sha256.slice(0, 2), sha256.slice(2, 4), sha256));
  };
  for (const jobId of ["stays", "goes"]) {
    await post("/api/jobs/create", { jobId, datasetName: "d" });
    await post("/api/jobs/upload-script", { jobId, script: `print("${jobId}")` });
  }
  await fetch(`${server.url}/api/frontend/jobs/goes`, { method: "DELETE" });
  expect(isThere('print("goes")')).toBe(true);
  const deadline = Date.now() + 20_000;
  while (isThere('print("goes")')) {
    if (Date.now() > deadline) throw new Error("the script is still there");
    await Bun.sleep(50);
  }
  expect(isThere('print("stays")')).toBe(true);
  const script = await fetch(`${server.url}/api/jobs/fetch-script?jobId=stays`);
  expect(await script.json()).toMatchObject({ script: 'print("stays")' });
});
