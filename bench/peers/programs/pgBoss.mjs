/**
 * pg-boss; argument: the database's address. Settings, by their names, from
 * https://timgit.github.io/pg-boss/#/./api/workers, …/api/queues and …/api/constructor.
 */
import pg from "pg";
import { PgBoss } from "pg-boss";
import { serveCommands } from "./program.ts";

const QUEUE = "noop";
const connectionString = process.argv[2];
const boss = new PgBoss({
  connectionString,
  // Single submissions come 50 at a time; each needs a connection.
  max: 50,
  // "Workers on notify-enabled queues are woken the moment a job is created."
  useListenNotify: true,
});
boss.on("error", (error) => console.error(error));
await boss.start();
await boss.createQueue(QUEUE, { notify: true });
const reader = new pg.Pool({ connectionString, max: 1 });

await serveCommands({
  add: (payload) => boss.send(QUEUE, payload),
  addMany: (payloads) =>
    boss.insert(
      QUEUE,
      payloads.map((data) => ({ data })),
    ),
  async work(onJob) {
    const options = {
      // Many jobs of one fetch are completed by one statement.
      batchSize: 500,
      // "While each fetch returns a full batch the worker keeps fetching continuously with no delay."
      burstWhenBatchFull: true,
      localConcurrency: 4,
      // The shortest that is allowed.
      pollingIntervalSeconds: 0.5,
      notifyPollingIntervalSeconds: 0.5,
    };
    await boss.work(QUEUE, options, async (jobs) => {
      for (const { data } of jobs) onJob(data);
    });
    return { stop: () => boss.offWork(QUEUE, { wait: true }) };
  },
  async remaining() {
    const statement = "SELECT count(*) AS jobs FROM pgboss.job WHERE name = $1 AND state < 'completed'";
    const { rows } = await reader.query(statement, [QUEUE]);
    return Number(rows[0].jobs);
  },
  async close() {
    await reader.end();
    await boss.stop({ graceful: false });
  },
});
process.exit(0);
