/**
 * Commits beside each other, where the store takes several at once: while one waits for the database, the next
 * is prepared. What must stay in order shares a lane, which makes one commit after the other:
 *
 * - all that one worker asks for, so that no call of it overtakes another;
 * - all that names no worker, in a lane of its own;
 * - submissions, which wait for nothing else, in lanes of their own. Two of them do not wait for each other;
 * - the upkeep, so that nobody's commit carries it.
 *
 * To the store the lanes are as servers that share it. A store of one server's own has one lane for everything.
 */
import { OverloadedError } from "../domain/errors.ts";
import type { Answer, CommandName, Request } from "./commands.ts";
import { Committer, type CommitterOptions } from "./committer.ts";

const SUBMIT_LANES = 2;
/**
 * Submissions share a lane until so many bytes are under way in it: small ones cost less the more of them a commit
 * carries (15,900 a second at 50 clients over both lanes, 20,000 over one), large ones the more commits there are
 * (65,000 jobs a second in batches of 1,000 over one, 83,000 over both).
 */
const LIGHT_BYTES = 64 * 1024;
const WORKER_LANES = 2;

export class CommitLanes {
  readonly #settings: CommitterOptions["settings"];
  readonly #submissions: readonly Committer[];
  readonly #workers: readonly Committer[];
  readonly #upkeep: Committer;
  readonly #others: Committer;
  readonly #all: readonly Committer[];

  constructor(options: CommitterOptions) {
    this.#settings = options.settings;
    this.#others = new Committer(options);
    const lanes = (count: number) =>
      options.store.isShared ? Array.from({ length: count }, () => new Committer(options)) : [this.#others];
    this.#submissions = lanes(SUBMIT_LANES);
    this.#workers = lanes(WORKER_LANES);
    [this.#upkeep = this.#others] = lanes(1);
    this.#all = [...new Set([this.#others, this.#upkeep, ...this.#submissions, ...this.#workers])];
  }

  get queuedCommands(): number {
    return this.#all.reduce((sum, lane) => sum + lane.queuedCommands, 0);
  }

  get queuedBytes(): number {
    return this.#all.reduce((sum, lane) => sum + lane.queuedBytes, 0);
  }

  /**
   * Queues a command; resolves with its answer after the commit.
   * @param bytes about how much memory the request takes.
   * @throws OverloadedError at once when too much waits already.
   */
  run<Name extends CommandName>(name: Name, request: Request<Name>, bytes: number): Promise<Answer<Name>> {
    const { queuedCommands, queuedBytes } = this;
    if (
      queuedCommands >= this.#settings.maxQueuedCommands ||
      queuedBytes + bytes > this.#settings.maxQueuedBytes
    ) {
      const reason = `${queuedCommands} requests (${queuedBytes} bytes) wait to be written; try again`;
      return Promise.reject(new OverloadedError(reason, 1_000));
    }
    return this.#laneOf(name, request).run(name, request, bytes);
  }

  #laneOf(name: CommandName, request: Request<CommandName>): Committer {
    if (this.#all.length === 1) return this.#others;
    if (name === "maintain") return this.#upkeep;
    if (name === "submit") return lightest(this.#submissions);
    const workerId = workerOf(name, request);
    return workerId === null ? this.#others : laneOfWorker(workerId, this.#workers);
  }

  /** Runs what is queued, and refuses what comes after. */
  async close(): Promise<void> {
    await Promise.all(this.#all.map((lane) => lane.close()));
  }
}

function lightest(lanes: readonly Committer[]): Committer {
  return (
    lanes.find((lane) => lane.queuedBytes < LIGHT_BYTES) ??
    lanes.reduce((best, lane) => (lane.queuedBytes < best.queuedBytes ? lane : best))
  );
}

/** Whose call it is; null where the command names no worker. */
function workerOf(name: CommandName, request: Request<CommandName>): string | null {
  if ("workerId" in request) return request.workerId;
  if ("change" in request && "workerId" in request.change) return request.change.workerId ?? null;
  return name.endsWith("Worker") && "id" in request && typeof request.id === "string" ? request.id : null;
}

/** The same worker has the same lane always. */
function laneOfWorker(workerId: string, lanes: readonly Committer[]): Committer {
  return lanes[Number(Bun.hash.wyhash(workerId) % BigInt(lanes.length))] as Committer;
}
