/** The nodes, and each that changes. */
import type { EngineEvent } from "../../../engine/engine.ts";
import type { Change, ChangeSource } from "./changeHub.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews, NodeView } from "./liveViews.ts";

export class NodesSource implements ChangeSource {
  readonly dueInMs = null;
  readonly #views: Pick<LiveViews, "nodes">;
  readonly #limits: Pick<LiveLimits, "nodesPauseMs" | "nodeSeenMs">;
  /** The nodes as the followers know them; null when nobody follows. */
  #known: Map<string, { readonly text: string; readonly lastSeen: number }> | null = null;

  constructor(views: Pick<LiveViews, "nodes">, limits: Pick<LiveLimits, "nodesPauseMs" | "nodeSeenMs">) {
    this.#views = views;
    this.#limits = limits;
  }

  get pauseMs(): number {
    return this.#limits.nodesPauseMs;
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

  async changes(): Promise<readonly Change[]> {
    const nodes = await this.#views.nodes();
    const before = this.#known ?? new Map<string, { text: string; lastSeen: number }>();
    const now = knownOf(nodes);
    this.#known = now;
    // There is no word for a node that was deleted: the whole list says it.
    if ([...before.keys()].some((id) => !now.has(id))) {
      return [{ type: "snapshot", data: { nodes, count: nodes.length } }];
    }
    const changed = nodes.filter((node) => {
      const known = before.get(node.nodeId);
      const isNews =
        known === undefined ||
        known.text !== now.get(node.nodeId)?.text ||
        (node.lastSeen - known.lastSeen) * 1_000 >= this.#limits.nodeSeenMs;
      // What the followers know stays what they were told.
      if (!isNews) now.set(node.nodeId, known);
      return isNews;
    });
    return changed.map((node) => ({ type: "node", data: node }));
  }

  forget(): void {
    this.#known = null;
  }
}

function knownOf(nodes: readonly NodeView[]): Map<string, { text: string; lastSeen: number }> {
  return new Map(
    nodes.map((node) => {
      const text = JSON.stringify({ ...node, lastSeen: 0, lastSeenAgo: 0 });
      return [node.nodeId, { text, lastSeen: node.lastSeen }];
    }),
  );
}
