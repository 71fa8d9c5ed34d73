/**
 * Measures Yardmaster beside other job queues on this machine, one after the other in one run, medians of three.
 *
 * ```sh
 * npm run bench:peers                          # everything, about fifteen minutes
 * npm run bench:peers -- --only graphile-worker --only yardmaster-1
 * npm run bench:peers -- --quick --json        # does it all work? the figures mean little
 * ```
 *
 * Needs PostgreSQL's server programs, npm, and `redis-server` for BullMQ; without Redis those columns are left out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Cluster } from "../../test/postgres/cluster.ts";
import { FULL, type Measured, measureSystem, type Profile, QUICK } from "./measureSystem.ts";
import { installPeers, peerVersions } from "./peerInstallation.ts";
import { isRedisInstalled, redisVersion } from "./redisServer.ts";
import { type Machine, SYSTEMS } from "./systems.ts";
import { tableOf } from "./table.ts";

/** The same server for all. Everything that makes a commit durable stays as PostgreSQL ships it, and is said. */
const POSTGRES_SETTINGS = [
  "fsync=on",
  "synchronous_commit=on",
  "full_page_writes=on",
  "max_connections=300",
  "shared_buffers=1GB",
  "wal_buffers=16MB",
  "max_wal_size=8GB",
  "checkpoint_timeout=15min",
];

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});
const unknown = flags.only.find((name) => !SYSTEMS.some((system) => system.name === name));
if (unknown !== undefined) {
  console.error(`--only: expected one of ${SYSTEMS.map(({ name }) => name).join(", ")}, got ${unknown}`);
  process.exit(2);
}

const say = (line: string): void => console.error(line);
const notes: string[] = [];
const chosen = SYSTEMS.filter(({ name, needsRedis }) => {
  if (flags.only.length > 0 && !flags.only.includes(name)) return false;
  return !needsRedis || isRedisInstalled();
});
if (chosen.some(({ isOurs }) => !isOurs)) installPeers();
if (isRedisInstalled()) notes.push(`Redis ${redisVersion()}`);
else notes.push("redis-server is not installed: BullMQ was not measured");

const folder = mkdtempSync(join(tmpdir(), "yardmaster-peers-"));
const cluster = await Cluster.start(...POSTGRES_SETTINGS);
/** What runs now, last started first out. */
const ends: (() => Promise<void> | void)[] = [
  () => rmSync(folder, { recursive: true, force: true }),
  () => cluster.dispose(),
];
async function endAll(): Promise<void> {
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) await end();
}
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void endAll().finally(() => process.exit(130)));
}

const results: { name: string; title: string; isOurs: boolean; figures: Measured; profile: Profile }[] = [];
try {
  const machine: Machine = { folder, cluster, postgresPid: await postgresPid() };
  notes.unshift(`PostgreSQL ${await postgresVersion()} (${POSTGRES_SETTINGS.join(", ")})`);
  const loads: string[] = [];
  for (const system of chosen) {
    // What else keeps the machine busy: the system before this one is in it too.
    loads.push((loadavg()[0] ?? 0).toFixed(1));
    say(`${system.title} …`);
    const running = await system.start(machine);
    ends.push(() => running.stop());
    const result = {
      name: system.name,
      title: system.title,
      isOurs: system.isOurs,
      figures: {},
      profile: {},
    };
    results.push(result);
    await measureSystem(running, folder, flags.quick ? QUICK : FULL, result, (line) =>
      say(`  ${line}`),
    ).catch((error: unknown) => {
      // The lines that follow are missing in the table; the other systems are measured all the same.
      say(`  failed: ${String(error)}`);
      notes.push(`${system.title} failed: ${String(error)}`);
      process.exitCode = 1;
    });
    await ends.pop()?.();
    // Each system pays for its own dirty pages, not for those of the one before.
    await cluster.ask("postgres", "CHECKPOINT");
  }
  notes.push(`load of the machine before each system: ${loads.join(", ")}`);
} finally {
  await endAll();
}

const versions = peerVersions();
notes.push(
  `graphile-worker ${versions["graphile-worker"]}, pg-boss ${versions["pg-boss"]}, BullMQ ${versions.bullmq} on Node.js ${versions.node}`,
  `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown"}, ${Math.round(totalmem() / 1024 ** 3)} GiB, Linux ${release()}, Bun ${Bun.version}`,
);
if (flags.quick) notes.push("quick run: the figures mean little");
if (flags.json) console.log(JSON.stringify({ notes, quick: flags.quick, results }, null, 2));
else console.log(`${tableOf(results)}\n${notes.join("\n")}`);

async function postgresPid(): Promise<number> {
  const [row] = await cluster.ask("postgres", "SELECT pg_read_file('postmaster.pid') AS text");
  return Number.parseInt(String(row?.text), 10);
}

async function postgresVersion(): Promise<string> {
  const [row] = await cluster.ask("postgres", "SHOW server_version");
  return String(row?.server_version);
}
