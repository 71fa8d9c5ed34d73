/** ShelbyCompute's nodes at work: each polls, acknowledges what it is shown, and reports it finished. */
import { Connection, load } from "../connection.ts";
import { type Effort, type Figure, median, shareOf } from "../figure.ts";
import type { Bench, ServerProcess } from "../processes.ts";
import {
  acknowledgeBytes,
  fillStore,
  finishBytes,
  pollBytes,
  polledJobId,
  registerBytes,
} from "../shelby.ts";

const NODES = 64;
/** A node's calls for one job: poll, ack, finish. */
const CALLS_PER_JOB = 3;
/** So many polls in a row may show a node nothing, or what another one took. */
const MAX_LOST_POLLS = 1_000;

export async function shelbyNodes(bench: Bench, { rounds, durationMs, nodeJobs }: Effort): Promise<Figure[]> {
  const data = bench.dataFolder();
  await fillStore(data, { pending: nodeJobs * (rounds + 1) + NODES, finished: 0 });
  const server = await bench.server(data);
  const nodes = await Promise.all(Array.from({ length: NODES }, (_, index) => Node.open(server, index)));
  const probe = pollBytes("probe");
  const bareServer = await bench.bareServer((await nodes[0]?.connection.request(probe))?.length ?? 300);
  const given = new Set<string>();
  const rates: number[] = [];
  const bare: number[] = [];
  // The first round warms all up.
  for (let round = 0; round <= rounds; round += 1) {
    let left = nodeJobs;
    const startedAt = performance.now();
    await Promise.all(
      nodes.map(async (node) => {
        while (left-- > 0) {
          const jobId = await node.work();
          if (given.has(jobId)) throw new Error(`job ${jobId} was given twice`);
          given.add(jobId);
        }
      }),
    );
    const perSecond = nodeJobs / ((performance.now() - startedAt) / 1_000);
    const options = { connections: NODES, durationMs: durationMs / 3, status: 201 };
    const { perSecond: calls } = await load(bareServer.target, probe, options);
    if (round === 0) continue;
    rates.push(perSecond);
    bare.push(calls / CALLS_PER_JOB);
  }
  for (const { connection } of nodes) connection.close();
  await bench.end(bareServer.pid);
  await bench.end(server.pid);
  return [
    shareOf(
      `shelby: poll, ack, finish, ${NODES} nodes`,
      "jobs/s",
      median(rates),
      { name: "bare HTTP server, three calls a job", value: median(bare) },
      null,
    ),
  ];
}

class Node {
  readonly connection: Connection;
  readonly #id: string;

  private constructor(connection: Connection, id: string) {
    this.connection = connection;
    this.#id = id;
  }

  static async open(server: ServerProcess, index: number): Promise<Node> {
    const node = new Node(await Connection.open(server.target), `node-${index}`);
    await node.connection.request(registerBytes(node.#id));
    return node;
  }

  /** Takes a job and finishes it; returns its id. */
  async work(): Promise<string> {
    for (let polls = 0; polls < MAX_LOST_POLLS; polls += 1) {
      const jobId = polledJobId(await this.connection.request(pollBytes(this.#id)));
      if (jobId === null) continue;
      // 400: another node was faster.
      const answer = await this.connection.request(acknowledgeBytes(this.#id, jobId), [200, 400]);
      if (!answer.includes('"ok"')) continue;
      await this.connection.request(finishBytes(this.#id, jobId));
      return jobId;
    }
    throw new Error(`${this.#id} got no job in ${MAX_LOST_POLLS} polls`);
  }
}
