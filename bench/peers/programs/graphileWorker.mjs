/** graphile-worker; argument: the database's address. Settings: https://worker.graphile.org/docs/performance */
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { serveCommands } from "./program.ts";

const connectionString = process.argv[2];
const logger = new Logger(() => () => {});
// Single submissions come 50 at a time; each needs a connection.
const utils = await makeWorkerUtils({ connectionString, maxPoolSize: 50, logger });
await utils.migrate();

/** The preset of "Quick stats" on that page: the setting with which its best rate was measured. */
const preset = {
  worker: {
    connectionString,
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

await serveCommands({
  add: (payload) => utils.addJob("noop", payload),
  // "jobs queued per second from single add_jobs batch call", the same page.
  addMany: (payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: "noop", payload }))),
  work: (onJob) =>
    run({ preset, logger, noHandleSignals: true, taskList: { noop: async (job) => onJob(job) } }),
  remaining: () =>
    utils.withPgClient(async (client) => {
      // Finished jobs are deleted.
      const { rows } = await client.query("SELECT count(*) AS jobs FROM graphile_worker._private_jobs");
      return Number(rows[0].jobs);
    }),
  close: () => utils.release(),
});
process.exit(0);
