/** Real servers on one PostgreSQL: started by the setting `store`, used through either, killed one after the other. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { YardmasterClient } from "@yardmaster/client";
import { Cluster } from "../postgres/cluster.ts";

const MAIN = resolve(import.meta.dir, "../../src/cli/main.ts");
const dir = mkdtempSync(join(tmpdir(), "yardmaster-servers-"));
const processes: ChildProcess[] = [];
let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => {
  for (const child of processes) child.kill("SIGKILL");
  cluster?.dispose();
  rmSync(dir, { recursive: true, force: true });
});

function start(name: string, store: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: dir,
    env: { ...process.env, YARDMASTER_STORE: store, YARDMASTER_DATA: join(dir, name) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  processes.push(child);
  return child;
}

function outputOf(child: ChildProcess): { readonly text: () => string; readonly firstLine: Promise<string> } {
  let text = "";
  let stdout = "";
  const { promise, resolve: gotLine, reject } = Promise.withResolvers<string>();
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    stdout += chunk.toString();
    if (stdout.includes("\n")) gotLine(stdout.slice(0, stdout.indexOf("\n")));
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.once("exit", (code) => reject(new Error(`ended with ${code}: ${text}`)));
  return { text: () => text, firstLine: promise };
}

async function serve(name: string, store: string) {
  const child = start(name, store, ["serve", "--listen", "127.0.0.1:0", "--lease-ms", "2s", "--json"]);
  const output = outputOf(child);
  const { addresses } = JSON.parse(await output.firstLine);
  const url = String(addresses[0]);
  return { child, url, output, client: new YardmasterClient({ baseUrl: url, maxRetries: 20 }) };
}

async function waitFor(client: YardmasterClient, id: number | string) {
  for (const deadline = Date.now() + 40_000; Date.now() < deadline; await Bun.sleep(30)) {
    const job = await client.job(id);
    if (job.state === "succeeded") return job;
  }
  throw new Error(`job ${id} does not end`);
}

function startAgent(name: string, store: string, url: string): void {
  start(name, store, ["agent", "--server", url, "--cpu", "2", "--state-dir", join(dir, `${name}-state`)]);
}

test("two servers share one queue, and each may be killed", async () => {
  const store = await cluster.newDatabase();
  const [first, second] = [await serve("first", store), await serve("second", store)];
  startAgent("agent", store, second.url);
  const jobs = await first.client.submitMany(
    Array.from({ length: 30 }, (_, number) => ({ spec: { argv: ["echo", `job ${number}`] } })),
  );
  const ids = jobs.map(({ id }) => id);
  for (const id of ids.slice(0, 5)) await waitFor(first.client, id);
  first.child.kill("SIGKILL");
  for (const id of ids) expect((await waitFor(second.client, id)).attempt).toBe(1);
  const again = await serve("first", store);
  expect((await again.client.job(ids[0] ?? 0)).state).toBe("succeeded");
  expect(`${first.output.text()}${second.output.text()}`).not.toContain(new URL(store).password);
});

test("a server that is stopped past its leases and goes on has done nothing twice", async () => {
  const store = await cluster.newDatabase();
  const [first, second] = [await serve("stopped", store), await serve("going", store)];
  startAgent("agent-stopped", store, first.url);
  startAgent("agent-going", store, second.url);
  const ids: (number | string)[] = [];
  for (let round = 0; round < 5; round++) {
    const some = await second.client.submitMany(
      Array.from({ length: 10 }, () => ({ spec: { argv: ["sleep", "0.1"] }, maxRecoveries: 20 })),
    );
    ids.push(...some.map(({ id }) => id));
    if (round === 1) first.child.kill("SIGSTOP");
    await Bun.sleep(200);
  }
  // Longer than a lease.
  await Bun.sleep(3_000);
  first.child.kill("SIGCONT");
  for (const id of ids) await waitFor(second.client, id);
  // How often each came to its end, as its history tells.
  const rows = await cluster.ask(
    new URL(store).pathname.slice(1),
    `SELECT count(*)::int AS jobs, sum(ends)::int AS ends FROM (
       SELECT (SELECT count(*) FROM regexp_matches(history, '\\[[0-9]+,4,', 'g')) AS ends FROM yardmaster.jobs
     ) AS counted`,
  );
  expect(rows[0]).toEqual({ jobs: ids.length, ends: ids.length });
});

test("the address of the store is masked where settings are shown, and in refusals", async () => {
  const child = start("config", "postgres://me:hush-hush@127.0.0.1:1/x", ["config", "--json"]);
  const output = outputOf(child);
  await new Promise((done) => child.once("close", done));
  expect(output.text()).toContain('"store"');
  expect(output.text()).not.toContain("hush");

  const refused = start("refused", "postgres://me:hush-hush@127.0.0.1:1/x", [
    "serve",
    "--listen",
    "127.0.0.1:0",
  ]);
  const words = outputOf(refused);
  words.firstLine.catch(() => {});
  const code = await new Promise((done) => refused.once("close", done));
  expect(code).not.toBe(0);
  expect(words.text()).toContain(
    "postgres://me@127.0.0.1:1/x cannot be opened: nothing answers at its address",
  );
  expect(words.text()).not.toContain("hush");
});
