/** The nodes, and each that changes. */
import type { EngineEvent } from "../../../engine/engine.ts";
import type { Change, ChangeSource } from "./changeHub.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews, NodeView } from "./liveViews.ts";
import { LookPace } from "./lookPace.ts";

/** However long nobody looked, so much of it counts. */
const MAX_SAVED_MS = 5_000;

/** A node as the followers know it. */
interface Known {
  /** All but when it was heard from. */
  readonly text: string;
  readonly lastSeen: number;
  readonly toldAtMs: number;
}

export class NodesSource implements ChangeSource {
  readonly #views: Pick<LiveViews, "nodes">;
  readonly #limits: Pick<LiveLimits, "nodesPauseMs" | "lookEveryMs" | "maxSeenPerSecond">;
  readonly #looks = new LookPace();
  /** Null when nobody follows. */
  #known: Map<string, Known> | null = null;
  /** Messages that may be sent now of nodes that were merely heard from. */
  #allowance = 0;
  #allowedAtMs = 0;

  constructor(
    views: Pick<LiveViews, "nodes">,
    limits: Pick<LiveLimits, "nodesPauseMs" | "lookEveryMs" | "maxSeenPerSecond">,
  ) {
    this.#views = views;
    this.#limits = limits;
  }

  get pauseMs(): number {
    return Math.max(this.#limits.nodesPauseMs, this.#looks.restMs);
  }

  /** Nobody says that a node fell silent, and nobody tells of every heartbeat. */
  get dueInMs(): number {
    return this.#looks.dueInMs(this.#limits.lookEveryMs);
  }

  hear(events: readonly EngineEvent[]): boolean {
    return events.some(({ type }) => type === "worker" || type === "resync");
  }

  async snapshot(): Promise<unknown> {
    const nodes = await this.#views.nodes();
    // What others were not told yet, they are told with the next changes.
    this.#known ??= knownOf(nodes);
    return { nodes, count: nodes.length };
  }

  changes(): Promise<readonly Change[]> {
    // With many nodes comparing takes its time too.
    return this.#looks.look(async () => this.#changesTo(await this.#views.nodes()));
  }

  #changesTo(nodes: readonly NodeView[]): readonly Change[] {
    const before = this.#known ?? new Map<string, Known>();
    const now = knownOf(nodes);
    this.#known = now;
    // There is no word for a node that was deleted: the whole list says it.
    if ([...before.keys()].some((id) => !now.has(id))) {
      return [{ type: "snapshot", data: { nodes, count: nodes.length } }];
    }
    const changed: NodeView[] = [];
    const seen: { readonly node: NodeView; readonly known: Known }[] = [];
    for (const node of nodes) {
      const known = before.get(node.nodeId);
      if (known === undefined || known.text !== now.get(node.nodeId)?.text) changed.push(node);
      else if (known.lastSeen !== node.lastSeen) seen.push({ node, known });
      else now.set(node.nodeId, known);
    }
    // Those that were not told for longest come first, so each has its turn.
    seen.sort((a, b) => a.known.toldAtMs - b.known.toldAtMs);
    const told = seen.slice(0, this.#takeAllowance(seen.length));
    // What the followers know of the others stays what they were told.
    for (const { node, known } of seen.slice(told.length)) now.set(node.nodeId, known);
    return [...changed, ...told.map(({ node }) => node)].map((node) => ({ type: "node", data: node }));
  }

  /** How many of so many messages may be sent; what is not used soon is lost. */
  #takeAllowance(wanted: number): number {
    const { maxSeenPerSecond } = this.#limits;
    const now = performance.now();
    const earned = (Math.min(now - this.#allowedAtMs, MAX_SAVED_MS) / 1_000) * maxSeenPerSecond;
    this.#allowedAtMs = now;
    this.#allowance = Math.min(this.#allowance + earned, Math.max(maxSeenPerSecond, earned));
    const taken = Math.min(wanted, Math.floor(this.#allowance));
    this.#allowance -= taken;
    return taken;
  }

  forget(): void {
    this.#known = null;
  }
}

function knownOf(nodes: readonly NodeView[]): Map<string, Known> {
  const toldAtMs = performance.now();
  return new Map(
    nodes.map((node) => {
      const text = JSON.stringify({ ...node, lastSeen: 0, lastSeenAgo: 0 });
      return [node.nodeId, { text, lastSeen: node.lastSeen, toldAtMs }];
    }),
  );
}
