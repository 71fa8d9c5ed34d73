/**
 * Yardmaster over HTTP, through its own client: what an agent does, without starting processes. Jobs are submitted and
 * claimed at each of the servers named in the arguments in turn.
 */
import { YardmasterClient } from "@yardmaster/client";
import { serveCommands } from "./program.ts";
import type { Payload, Queue } from "./queue.ts";

/** Jobs of one claim: the most that the API gives at once. */
const CLAIM = 500;
/** Claims under way, so that the server has something to do while this process reads an answer. */
const LOOPS = 4;
const CLAIM_WAIT_MS = 20_000;
const CAPACITY = { cpu: CLAIM, accelerators: 0, memoryMb: 0 };

const clients = process.argv.slice(2).map((baseUrl) => new YardmasterClient({ baseUrl }));
let turn = 0;
function nextClient(): YardmasterClient {
  turn += 1;
  const client = clients[turn % clients.length];
  if (client === undefined) throw new Error("expected the servers' addresses as arguments");
  return client;
}

const jobOf = ({ sentAtMs }: Payload) => ({ name: String(sentAtMs), spec: { argv: ["/bin/true"] } });

const queue: Queue = {
  add: (payload) => nextClient().submit(jobOf(payload)),
  addMany: (payloads) => nextClient().submitMany(payloads.map(jobOf)),
  async work(onJob) {
    const stopping = new AbortController();
    const loops = await Promise.all(
      Array.from({ length: LOOPS }, async (_, index) => {
        const client = nextClient();
        const workerId = `noop-${index}`;
        await client.registerWorker({ id: workerId, capacity: CAPACITY, queues: ["*"], kinds: ["command"] });
        return { client, workerId };
      }),
    );
    const done = Promise.all(
      loops.map(({ client, workerId }) => workLoop(client, workerId, onJob, stopping.signal)),
    );
    return {
      stop() {
        stopping.abort();
        return done;
      },
    };
  },
  async remaining() {
    const { jobsByState } = await nextClient().stats();
    return jobsByState.waiting + jobsByState.ready + jobsByState.leased + jobsByState.running;
  },
  close: async () => {},
};

async function workLoop(
  client: YardmasterClient,
  workerId: string,
  onJob: (payload: Payload) => void,
  stopping: AbortSignal,
): Promise<void> {
  const request = {
    workerId,
    queues: ["*"],
    kinds: ["command" as const],
    capacity: CAPACITY,
    max: CLAIM,
    waitMs: CLAIM_WAIT_MS,
  };
  while (!stopping.aborted) {
    const jobs = await client.claim(request, { signal: stopping }).catch((error: unknown) => {
      if (stopping.aborted) return [];
      throw error;
    });
    if (jobs.length === 0) continue;
    for (const { name } of jobs) onJob({ sentAtMs: Number(name) });
    const results = jobs.map(({ id, attempt }) => ({
      id,
      attempt,
      outcome: "succeeded" as const,
      exitCode: 0,
    }));
    await client.sendResults({ workerId, results });
  }
}

await serveCommands(queue);
process.exit(0);
