/** A small cached binary through one agent, isolated and not, beside bare spawning of the same file. */
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Connection } from "../connection.ts";
import { type Effort, type Figure, median, shareOf } from "../figure.ts";
import { submission } from "../jobs.ts";
import type { Bench } from "../processes.ts";
import { bareSpawnsPerSecond, runsPerSecond } from "../processRate.ts";

const PROGRAM = "/bin/true";
const CONCURRENCY = 16;
/** Isolation costs about ten times the start. */
const ISOLATED_PART = 10;

export async function binaries(bench: Bench, effort: Effort): Promise<Figure[]> {
  const folder = mkdtempSync(join(bench.folder, "binary-"));
  const file = join(folder, "program");
  copyFileSync(PROGRAM, file);
  chmodSync(file, 0o755);
  const sha256 = new Bun.CryptoHasher("sha256").update(readFileSync(file)).digest("hex");
  const files = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(Bun.file(file)) });
  const job = { kind: "binary", spec: { url: `http://127.0.0.1:${files.port}/program`, sha256 } };
  const size = `${Math.round(statSync(file).size / 1_000)} kB`;
  try {
    const figures: Figure[] = [];
    for (const isolation of ["off", "required"]) {
      const processes = isolation === "off" ? effort.processes : Math.ceil(effort.processes / ISOLATED_PART);
      const server = await bench.server();
      const flags = ["--isolation", isolation, "--cache-dir", join(folder, `cache-${isolation}`)];
      const agent = await bench.agent(server, CONCURRENCY, flags).catch(() => null);
      // Machines without bubblewrap have no such figure.
      if (agent === null) continue;
      const connection = await Connection.open(server.target);
      const bare: number[] = [];
      const ours: number[] = [];
      for (let round = 0; round < effort.rounds; round += 1) {
        bare.push(bareSpawnsPerSecond(file, processes, CONCURRENCY));
        ours.push(await runsPerSecond(connection, (count) => submission(count, job), processes));
      }
      connection.close();
      await bench.end(agent.pid);
      await bench.end(server.pid);
      const how = isolation === "off" ? "" : ", each isolated";
      figures.push(
        shareOf(
          `cached binary of ${size} through one agent, ${CONCURRENCY} at a time${how}`,
          "jobs/s",
          median(ours),
          { name: "bare spawning", value: median(bare) },
          null,
        ),
      );
    }
    return figures;
  } finally {
    files.stop(true);
  }
}
