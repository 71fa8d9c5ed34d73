/**
 * ShelbyCompute's nodes as workers. Its agents register once in their life: whoever is not known here any more
 * is entered by its next word, with nothing known of it.
 */
import { NotFoundError } from "../../domain/errors.ts";
import type { JsonObject } from "../../domain/job.ts";
import type { Engine } from "../../engine/engine.ts";
import { RefusedError } from "./refusals.ts";
import { QUEUE } from "./submission.ts";

export interface NodeRegistration {
  readonly nodeId: string;
  readonly specs: JsonObject;
  readonly containerSupported: boolean;
  readonly handshakeKey: string | null;
  readonly aptosPublicKey: string | null;
}

export interface NodesOptions {
  readonly engine: Engine;
  /** Signs of life beside heartbeats are written this often for one node. */
  readonly pauseMs?: number;
  /** Nodes whose last sign of life is remembered for that. */
  readonly maxRemembered?: number;
}

/** Documents that hold what is never shown of a node. */
const COLLECTION = "shelby.node";

export class Nodes {
  readonly #engine: Engine;
  readonly #pauseMs: number;
  readonly #maxRemembered: number;
  /** When a sign of life was last written, by node; the oldest first. */
  readonly #writtenAt = new Map<string, number>();
  /** What is under way for a node's entry: a word that enters it must not undo its registration. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor({ engine, pauseMs = 5_000, maxRemembered = 10_000 }: NodesOptions) {
    this.#engine = engine;
    this.#pauseMs = pauseMs;
    this.#maxRemembered = maxRemembered;
  }

  /** @throws RefusedError when the id is another API's worker's */
  register(node: NodeRegistration): Promise<void> {
    const { nodeId, handshakeKey, aptosPublicKey } = node;
    return this.#inTurn(nodeId, async () => {
      await this.#isKnown(nodeId);
      await this.#enter(nodeId, { specs: node.specs, containerSupported: node.containerSupported }, false);
      const before = await this.#engine.read.document(COLLECTION, nodeId);
      if (handshakeKey !== null || aptosPublicKey !== null) {
        const value = {
          ...before,
          ...(handshakeKey === null ? {} : { handshakeKey }),
          ...(aptosPublicKey === null ? {} : { aptosPublicKey }),
        };
        await this.#engine.putDocuments([{ collection: COLLECTION, key: nodeId, value }]);
      }
      // Its jobs stay its own.
      await this.#engine.heartbeatWorker(nodeId);
      this.#wrote(nodeId);
    });
  }

  /** The node is alive. @throws RefusedError when the id is another API's worker's */
  async heartbeat(nodeId: string): Promise<void> {
    if (!(await this.#isKnown(nodeId))) await this.#enterUnknown(nodeId);
    try {
      await this.#engine.heartbeatWorker(nodeId);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      // Deleted in this moment.
      await this.#enterUnknown(nodeId);
    }
    this.#wrote(nodeId);
  }

  /** The node said something else: a sign of life too, written now and then. */
  async heard(nodeId: string): Promise<void> {
    const last = this.#writtenAt.get(nodeId);
    if (last !== undefined && performance.now() - last < this.#pauseMs) return;
    await this.heartbeat(nodeId);
  }

  /** The key under which the node signs; null where it has told none. */
  async handshakeKey(nodeId: string): Promise<string | null> {
    const key = (await this.#engine.read.document(COLLECTION, nodeId))?.handshakeKey;
    return typeof key === "string" ? key : null;
  }

  /**
   * Forgets a node.
   *
   * @throws NotFoundError, RefusedError while it holds a job
   */
  async remove(nodeId: string): Promise<void> {
    const { dialect, state, running } = await this.#engine.read.worker(nodeId);
    if (running > 0) throw new RefusedError(`Node holds ${running === 1 ? "a job" : `${running} jobs`}`);
    if (dialect !== "shelby" && state !== "offline") {
      throw new RefusedError("Node is an agent of Yardmaster and online: stop it before deleting it");
    }
    this.#writtenAt.delete(nodeId);
    await this.#engine.deleteWorker(nodeId);
    await this.#engine.putDocuments([{ collection: COLLECTION, key: nodeId, value: null }]);
  }

  async #isKnown(nodeId: string): Promise<boolean> {
    const dialect = await this.#engine.read.dialectOfWorker(nodeId);
    if (dialect !== null && dialect !== "shelby") {
      throw new RefusedError("nodeId belongs to a worker of another API");
    }
    return dialect !== null;
  }

  #enterUnknown(nodeId: string): Promise<void> {
    return this.#inTurn(nodeId, async () => {
      if (!(await this.#isKnown(nodeId)))
        await this.#enter(nodeId, { specs: {}, containerSupported: true }, true);
    });
  }

  async #enter(nodeId: string, details: JsonObject, isImplicit: boolean): Promise<void> {
    await this.#engine.registerWorker({
      id: nodeId,
      name: nodeId,
      address: null,
      capacity: { cpu: 1, accelerators: 0, memoryMb: 0 },
      labels: {},
      queues: [QUEUE],
      kinds: ["script"],
      dialect: "shelby",
      ...{ details, isImplicit },
    });
  }

  /** One after the other for each node. */
  async #inTurn(nodeId: string, work: () => Promise<void>): Promise<void> {
    const before = this.#turns.get(nodeId) ?? Promise.resolve();
    const turn = before.then(work, work);
    this.#turns.set(nodeId, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(nodeId) === turn) this.#turns.delete(nodeId);
    }
  }

  #wrote(nodeId: string): void {
    this.#writtenAt.delete(nodeId);
    this.#writtenAt.set(nodeId, performance.now());
    for (const oldest of this.#writtenAt.keys()) {
      if (this.#writtenAt.size <= this.#maxRemembered) return;
      this.#writtenAt.delete(oldest);
    }
  }
}
