/** Scripts that are ended from outside, machines that isolate them, environments that make room. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Job, YardmasterClient } from "@yardmaster/client";
import { ENVIRONMENTS_FOLDER } from "../../../src/agent/scripts/environments.ts";
import { sandboxTest } from "../isolation/machine.ts";
import { until } from "../until.ts";
import { offlineRequirements, type ScriptYard, scriptYard, writeWheel } from "./scriptYard.ts";

async function outputHas(yard: ScriptYard, job: Job, text: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await yard.output(job)).includes(text)) {
    if (Date.now() > deadline) throw new Error(`not in the output: ${text}\n${await yard.output(job)}`);
    await Bun.sleep(20);
  }
}

function environmentsOf(yard: ScriptYard): string[] {
  const folder = join(yard.folder, "cache", ENVIRONMENTS_FOLDER);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [join(folder, entry.name)] : [],
  );
}

describe("a script that is ended", () => {
  test("while its environment is made leaves nothing behind, and the next one can make it", async () => {
    await using yard = await scriptYard();
    await yard.agent({ usesUv: false });
    // An index that never answers.
    using silent = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: () => new Promise<Response>(() => {}),
    });
    const requirements = `--index-url http://127.0.0.1:${silent.port}/simple\nanything`;
    const job = await yard.submit("print(1)", { requirements });
    await outputHas(yard, job, "preparing an environment");
    await until(() => silent.pendingRequests > 0, "pip asks the index", 20_000);
    await yard.client.cancel(job.id);
    await until(() => environmentsOf(yard).length === 0, "the unfinished environment is gone", 10_000);
    expect((await yard.client.job(job.id)).state).toBe("cancelled");
    const next = await yard.run("print('runs')");
    expect(next.state).toBe("succeeded");
  });

  test("by the time limit in its preparation has a record that says so", async () => {
    await using yard = await scriptYard();
    await yard.agent({ usesUv: false });
    using silent = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: () => new Promise<Response>(() => {}),
    });
    const dataset = { name: "d", url: `http://127.0.0.1:${silent.port}/d.csv` };
    const job = await yard.run("print(1)", { dataset }, { timeoutMs: 700 });
    expect([job.state, job.error]).toEqual(["failed", "time limit of 700 ms reached"]);
    const [record] = await yard.client.records(job.id, { kind: "provenance" });
    expect(record?.data).toMatchObject({ outcome: "failed", error: job.error });
    const running = await yard.run("import time\ntime.sleep(60)", {}, { timeoutMs: 1_500 });
    expect(running.error).toBe("time limit of 1500 ms reached");
    expect(await yard.client.records(running.id, { kind: "provenance" })).toHaveLength(1);
  });

  test("while its model is stored goes back to the queue; a draining agent stores it first", async () => {
    await using yard = await scriptYard();
    const { promise: isStoring, resolve: storing } = Promise.withResolvers<void>();
    const { promise: mayStore, resolve: store } = Promise.withResolvers<void>();
    let puts = 0;
    const slow = new YardmasterClient({
      baseUrl: yard.url,
      maxRetries: 0,
      fetch: async (url, init) => {
        if (init.method === "PUT") {
          puts += 1;
          storing();
          const aborted = new Promise<never>((_, reject) =>
            init.signal?.addEventListener("abort", () => reject(new Error("aborted")), { once: true }),
          );
          await Promise.race([mayStore, aborted]);
        }
        return fetch(url, init);
      },
    });
    const first = await yard.agent({ client: slow });
    const job = await yard.submit("open('output/model.bin', 'w').write('weights')");
    await isStoring;
    await first.stop();
    expect((await yard.client.job(job.id)).state).toBe("ready");

    const second = await yard.agent({ client: slow });
    const waited = yard.client.wait(job.id, { timeoutMs: 30_000 });
    await until(() => puts === 2, "the second agent stores the model", 20_000);
    const drained = second.drain();
    store();
    await drained;
    expect(await waited).toMatchObject({ state: "succeeded", result: { modelSizeBytes: 7 } });
  });
});

sandboxTest(
  "a script that is isolated sees its dataset, environment and workspace, and changes only the last",
  async () => {
    await using yard = await scriptYard();
    const wheels = await writeWheel(yard.folder, "tinylib", "1.0", "ANSWER = 42\n");
    await yard.agent({
      ...{ usesUv: false, isolation: "required", isolateKinds: ["script"], jobNetwork: "deny" },
      bindReadOnly: [wheels],
    });
    const body = "x\n1\n";
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(body) });
    const hash = new Bun.CryptoHasher("sha256").update(body).digest("hex");
    const job = await yard.run(
      `
import os, tinylib
print("answer", tinylib.ANSWER, open(os.environ["DATASET_PATH"]).read().strip())
for path in [os.environ["DATASET_PATH"], os.path.join(os.environ["VIRTUAL_ENV"], "x")]:
    try:
        open(path, "w")
        print("WRITTEN", path)
    except OSError as error:
        print("refused")
print("state", os.path.exists(${JSON.stringify(join(yard.folder, "agent-1", "node-key"))}))
open("output/model.bin", "w").write("weights")
`,
      {
        requirements: offlineRequirements(wheels, "tinylib"),
        dataset: { name: "d", url: `http://127.0.0.1:${server.port}/d.csv`, hash },
      },
    );
    const output = await yard.output(job);
    expect([job.error, job.state]).toEqual([null, "succeeded"]);
    expect(output).toContain("answer 42 x\n1\n");
    expect(output).not.toContain("WRITTEN");
    expect(output).toContain("state False");
  },
);

sandboxTest(
  "by default a script is isolated: its requirements come over the network, which it does not have itself",
  async () => {
    await using yard = await scriptYard();
    const wheels = await writeWheel(yard.folder, "tinylib", "1.0", "ANSWER = 42\n");
    const wheel = "tinylib-1.0-py3-none-any.whl";
    const listing = `<a href="/files/${wheel}">${wheel}</a>`;
    using index = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url }) =>
        url.includes("/files/")
          ? new Response(Bun.file(join(wheels, wheel)))
          : new Response(listing, { headers: { "content-type": "text/html" } }),
    });
    const address = `http://127.0.0.1:${index.port}`;
    const script = `
import tinylib, urllib.request
print("answer", tinylib.ANSWER)
try:
    urllib.request.urlopen(${JSON.stringify(address)}, timeout=5)
    print("REACHED")
except OSError as error:
    print("refused", error)
`;
    const requirements = `--index-url ${address}/simple\ntinylib`;
    const agent = await yard.agent({ usesUv: false });
    const job = await yard.run(script, { requirements });
    expect([job.error, job.state]).toEqual([null, "succeeded"]);
    const output = await yard.output(job);
    expect(output).toContain("answer 42\n");
    expect(output).toContain("refused");
    expect(output).not.toContain("REACHED");
    await agent.stop();

    await yard.agent({ usesUv: false, jobNetwork: "deny" });
    const denied = await yard.run(script, { requirements: `${requirements}==1.0` });
    expect(denied.error).toContain("the requirements cannot be installed");
  },
);
