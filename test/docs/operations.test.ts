/** Follows docs/operations.md: its commands are run as they stand, on other ports and in a folder of their own. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Job, YardmasterClient } from "@yardmaster/client";
import { eventually, Scratch } from "../cli/yardmasterProcess.ts";
import { Cluster } from "../postgres/cluster.ts";
import { testNeeding } from "../testNeeding.ts";

const ROOT = join(import.meta.dir, "../..");
const page = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
const scratch = new Scratch();
const spawned: Bun.Subprocess[] = [];
const ports = new Map<string, number>();
let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start();
  for (const port of ["8000", "8001", "8002"]) ports.set(port, await freePort());
  const haproxy = readFileSync(join(ROOT, "deploy/haproxy.cfg"), "utf8");
  Bun.spawnSync(["mkdir", "-p", join(scratch.folder, "deploy")]);
  writeFileSync(join(scratch.folder, "deploy/haproxy.cfg"), atOtherPorts(haproxy));
  symlinkSync(join(ROOT, "bin"), join(scratch.folder, "bin"));
});
afterEach(() => {
  rmSync(join(scratch.folder, "backup"), { recursive: true, force: true });
});
afterAll(async () => {
  for (const child of spawned) child.kill("SIGKILL");
  await Promise.all(spawned.map((child) => child.exited));
  await scratch.dispose();
  cluster?.dispose();
});

/** Command lines of the block that is marked so; a line that is indented belongs to the one before. */
function block(mark: string): string[] {
  const text = new RegExp(`^\`\`\`sh ${mark}\n(.*?)^\`\`\``, "ms").exec(page)?.[1];
  if (text === undefined) throw new Error(`docs/operations.md has no block ${mark}`);
  return atOtherPorts(text)
    .trimEnd()
    .split(/\n(?! )/);
}

function atOtherPorts(text: string): string {
  return text.replaceAll(/127\.0\.0\.1:(8\d{3})/g, (whole, port: string) => {
    const other = ports.get(port);
    return other === undefined ? whole : `127.0.0.1:${other}`;
  });
}

function environment(extra: Readonly<Record<string, string>>): Record<string, string> {
  return scratch.environment({ PATH: `${scratch.folder}/bin:${process.env.PATH}`, ...extra });
}

/** Runs a line to its end. */
async function run(line: string, extra: Readonly<Record<string, string>> = {}): Promise<void> {
  const child = Bun.spawn(["sh", "-c", line], {
    cwd: scratch.folder,
    env: environment(extra),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const stderr = await new Response(child.stderr).text();
  expect([line, await child.exited, stderr]).toEqual([line, 0, expect.any(String)]);
}

/** Starts a line that ends with `&`. */
function start(line: string, extra: Readonly<Record<string, string>>): Bun.Subprocess {
  const child = Bun.spawn(["sh", "-c", `exec ${line.replace(/ &$/, "")}`], {
    cwd: scratch.folder,
    env: environment({ YARDMASTER_LOG_LEVEL: "silent", ...extra }),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  spawned.push(child);
  return child;
}

async function end(child: Bun.Subprocess | undefined): Promise<void> {
  child?.kill("SIGTERM");
  await child?.exited;
}

async function isReady(url: string): Promise<true | null> {
  const answer = await fetch(`${url}/readyz`).catch(() => null);
  return answer?.ok === true ? true : null;
}

const needing = (program: string) =>
  testNeeding(Bun.which(program) === null ? `${program} is not installed` : null);

describe("several servers", () => {
  const servers = new Map<string, Bun.Subprocess>();
  const agents: Bun.Subprocess[] = [];
  let store = "";

  needing("haproxy")(
    "work one queue with two agents; each is killed in turn, and every job is done once",
    async () => {
      store = await cluster.newDatabase();
      const lines = block("test-servers");
      expect(lines.length).toBe(5);
      const env = { YARDMASTER_STORE: store };
      const startServer = async (line: string) => {
        const url = `http://${/--listen (\S+)/.exec(line)?.[1]}`;
        servers.set(line, start(line, env));
        await eventually("the server is ready", () => isReady(url));
      };
      const serverLines = lines.filter((line) => line.startsWith("yardmaster serve"));
      for (const line of lines) {
        if (serverLines.includes(line)) await startServer(line);
        else if (line.startsWith("yardmaster agent")) agents.push(start(line, {}));
        else start(line, {});
      }
      const client = new YardmasterClient({
        baseUrl: `http://127.0.0.1:${ports.get("8000")}`,
        maxRetries: 12,
      });
      await eventually("the load balancer has a server", () => isReady(client.baseUrl));
      await eventually("both agents are there", async () =>
        (await client.workers()).length === 2 ? true : null,
      );

      const ids: number[] = [];
      const submit = async (count: number) => {
        for (let n = 0; n < count; n++) {
          // Each writes its line once.
          const argv = ["sh", "-c", `echo ${ids.length} >> "${scratch.folder}/ran"`];
          ids.push((await client.submit({ spec: { argv } })).id);
        }
      };
      for (const line of serverLines) {
        await submit(30);
        servers.get(line)?.kill("SIGKILL");
        await submit(30);
        await servers.get(line)?.exited;
        await startServer(line);
        await submit(10);
      }
      const jobs: Job[] = [];
      for (const id of ids) jobs.push(await client.wait(id, { timeoutMs: 30_000 }));
      expect(new Set(jobs.map(({ state, attempt }) => `${state} ${attempt}`))).toEqual(
        new Set(["succeeded 1"]),
      );
      const ran = readFileSync(join(scratch.folder, "ran"), "utf8").trimEnd().split("\n");
      expect(ran.sort()).toEqual(ids.map((_, index) => String(index)).sort());
    },
  );

  needing("haproxy")("are backed up while they run, and restored", async () => {
    for (const line of block("test-postgres-backup")) await run(line, { YARDMASTER_STORE: store });
    expect(existsSync(join(scratch.folder, "backup/artifacts"))).toBe(true);
    // Agents first: they give back what they have while there is a server.
    await Promise.all(agents.map(end));
    await Promise.all(spawned.splice(0).map(end));
    const restored = await cluster.newDatabase();
    for (const line of block("test-postgres-restore")) await run(line, { RESTORED_STORE: restored });
    const { url, child } = await scratch.start(["serve", "--data", "looked", "--log-level", "error"], {
      YARDMASTER_STORE: restored,
    });
    const client = new YardmasterClient({ baseUrl: url });
    expect((await client.jobs({ state: ["succeeded"] })).total).toBe(140);
    expect((await client.submit({ spec: { argv: ["true"] } })).id).toBeGreaterThan(1_000_000);
    await end(child);
  });
});

describe("one server", () => {
  needing("sqlite3")("is backed up while it runs, and restored", async () => {
    const { url, child } = await scratch.start([
      "serve",
      "--data",
      "yardmaster-data",
      "--log-level",
      "error",
    ]);
    const client = new YardmasterClient({ baseUrl: url });
    const job = await client.submit({ name: "kept", spec: { argv: ["true"] } });
    const sha256 = new Bun.CryptoHasher("sha256").update("kept").digest("hex");
    await client.putArtifact(sha256, "kept");
    for (const line of block("test-sqlite-backup")) await run(line);
    await client.submit({ name: "later", spec: { argv: ["true"] } });
    await end(child);
    for (const line of block("test-sqlite-restore")) await run(line);
    const again = await scratch.start(["serve", "--data", "restored", "--log-level", "error"]);
    const restored = new YardmasterClient({ baseUrl: again.url });
    expect((await restored.jobs()).items.map(({ id, name }) => [id, name])).toEqual([[job.id, "kept"]]);
    expect(await restored.hasArtifact(sha256)).toBe(true);
    expect((await restored.submit({ spec: { argv: ["true"] } })).id).toBe(job.id + 1_000_001);
    await end(again.child);
  });

  test("moves to PostgreSQL", async () => {
    const { child } = await scratch.start(["serve", "--data", "moving", "--log-level", "error"]);
    await end(child);
    const folder = join(scratch.folder, "yardmaster-data");
    if (!existsSync(folder)) cpSync(join(scratch.folder, "moving"), folder, { recursive: true });
    const store = await cluster.newDatabase();
    for (const line of block("test-move")) await run(line, { YARDMASTER_STORE: store });
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
