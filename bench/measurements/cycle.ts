/** Claim and finish, and the full cycle of submit, claim and finish, in batches, beside plain SQLite in the same batches. */
import { Connection } from "../connection.ts";
import { type Effort, type Figure, median, plain, shareOf } from "../figure.ts";
import { claim, claimAndReport, registerWorker, submission } from "../jobs.ts";
import { plainSqliteCycle } from "../limits/plainSqlite.ts";
import type { Bench, ServerProcess } from "../processes.ts";

const BATCH = 500;
/** Workers that take turns, so that the server has something to do while a client reads an answer. */
const WORKERS = 4;
const CAPACITY = { cpu: BATCH, accelerators: 0, memoryMb: 0 };

export async function cycle(bench: Bench, effort: Effort): Promise<Figure[]> {
  const server = await bench.server();
  const limit: number[] = [];
  const full: number[] = [];
  const claims: number[] = [];
  await fullCycle(server, BATCH * WORKERS * 2);
  for (let round = 0; round < effort.rounds; round += 1) {
    limit.push(plainSqliteCycle(bench.folder, effort.cycleJobs, BATCH));
    full.push(await fullCycle(server, effort.cycleJobs));
    claims.push(await claimAndFinish(server, effort.cycleJobs));
  }
  await bench.end(server.pid);
  return [
    plain(`claim and finish, batches of ${BATCH}`, "jobs/s", median(claims)),
    shareOf(
      `submit, claim and finish, batches of ${BATCH}`,
      "jobs/s",
      median(full),
      { name: "plain SQLite, in process", value: median(limit) },
      0.6,
    ),
  ];
}

async function withWorkers(
  server: ServerProcess,
  work: (connection: Connection, id: string) => Promise<void>,
): Promise<number> {
  const connections = await Promise.all(
    Array.from({ length: WORKERS }, () => Connection.open(server.target)),
  );
  await Promise.all(
    connections.map((connection, index) => registerWorker(connection, `bench-${index}`, CAPACITY)),
  );
  const startedAt = performance.now();
  await Promise.all(connections.map((connection, index) => work(connection, `bench-${index}`)));
  const seconds = (performance.now() - startedAt) / 1_000;
  for (const connection of connections) connection.close();
  return seconds;
}

async function fullCycle(server: ServerProcess, jobs: number): Promise<number> {
  const bytes = submission(BATCH);
  let submitted = 0;
  let finished = 0;
  const seconds = await withWorkers(server, async (connection, id) => {
    const claimBytes = claim(id, BATCH, CAPACITY);
    while (submitted < jobs) {
      submitted += BATCH;
      await connection.request(bytes);
      // Not `finished += await …`: that would add to the value of before the wait.
      const count = await claimAndReport(connection, id, claimBytes, "succeeded");
      finished += count;
    }
    for (let count = 1; count > 0; finished += count) {
      count = await claimAndReport(connection, id, claimBytes, "succeeded");
    }
  });
  if (finished !== submitted) throw new Error(`${submitted} jobs submitted, ${finished} finished`);
  return finished / seconds;
}

async function claimAndFinish(server: ServerProcess, jobs: number): Promise<number> {
  const connection = await Connection.open(server.target);
  const bytes = submission(BATCH);
  for (let submitted = 0; submitted < jobs; submitted += BATCH) await connection.request(bytes);
  connection.close();
  let finished = 0;
  const seconds = await withWorkers(server, async (worker, id) => {
    const claimBytes = claim(id, BATCH, CAPACITY);
    for (let count = 1; count > 0; finished += count) {
      count = await claimAndReport(worker, id, claimBytes, "succeeded");
    }
  });
  return finished / seconds;
}
