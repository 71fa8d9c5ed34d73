/** BullMQ; argument: the port of Redis. Settings: https://docs.bullmq.io/guide/going-to-production and /guide/parallelism-and-concurrency */
import { Queue, Worker } from "bullmq";
import { serveCommands } from "./program.ts";

const QUEUE = "noop";
// `maxRetriesPerRequest: null` is what a worker's connection needs (going to production).
const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
// "The most common configuration is to keep a handful of completed jobs" (auto-removal of jobs).
const KEPT = { removeOnComplete: { count: 1_000 }, removeOnFail: { count: 5_000 } };
const queue = new Queue(QUEUE, { connection });
queue.on("error", (error) => console.error(error));
await queue.waitUntilReady();

await serveCommands({
  add: (payload) => queue.add("noop", payload),
  addMany: (payloads) => queue.addBulk(payloads.map((data) => ({ name: "noop", data }))),
  async work(onJob) {
    // "Something between 100 and 300 is a quite standard setting" (parallelism and concurrency).
    const worker = new Worker(QUEUE, async (job) => onJob(job.data), {
      connection,
      concurrency: 100,
      ...KEPT,
    });
    worker.on("error", (error) => console.error(error));
    await worker.waitUntilReady();
    return { stop: () => worker.close() };
  },
  async remaining() {
    const counts = await queue.getJobCounts("wait", "active", "prioritized", "delayed");
    return Object.values(counts).reduce((sum, count) => sum + count, 0);
  },
  close: () => queue.close(),
});
process.exit(0);
