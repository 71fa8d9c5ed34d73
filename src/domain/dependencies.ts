/**
 * Dependency rules: when a job may run, what the fate of one means for those that wait for it, and which
 * graphs are refused.
 *
 * Each job carries two counts: `unmet`, its dependencies that have not succeeded, and `doomed`, those
 * among them that cannot succeed as things stand. Every rule follows from the two, so failure, retry,
 * cancellation and deletion are one mechanism: the standing of a job changes, and the counts of its
 * dependents with it.
 */
import type { JobState } from "./job.ts";

/** What a job is to those that depend on it. */
export type Standing = "met" | "open" | "doomed";

/** `null` is a job that was deleted before it succeeded. */
export function standingOf(state: JobState | null): Standing {
  switch (state) {
    case "succeeded":
      return "met";
    case "failed":
    case "cancelled":
    case "blocked":
    case null:
      return "doomed";
    case "waiting":
    case "ready":
    case "leased":
    case "running":
      return "open";
  }
}

/** What a change of one dependency's standing adds to its dependents' counts. */
export function countsChange(before: Standing, after: Standing): { unmet: number; doomed: number } {
  return {
    unmet: Number(after !== "met") - Number(before !== "met"),
    doomed: Number(after === "doomed") - Number(before === "doomed"),
  };
}

/** The state of a job that no worker holds and that is not final. */
export function pendingState(
  job: { readonly unmet: number; readonly doomed: number; readonly runAt: number | null },
  now: number,
): "waiting" | "ready" | "blocked" {
  if (job.doomed > 0) return "blocked";
  if (job.unmet > 0 || (job.runAt !== null && job.runAt > now)) return "waiting";
  return "ready";
}

/**
 * Finds a cycle in a dependency graph.
 *
 * @param edges for each node the nodes it depends on; nodes without an entry depend on nothing.
 * @returns the nodes of one cycle in order, or null when there is none.
 */
export function findCycle<Node>(edges: ReadonlyMap<Node, readonly Node[]>): Node[] | null {
  const done = new Set<Node>();
  for (const root of edges.keys()) {
    if (done.has(root)) continue;
    // Depth first without recursion: chains are ten thousands long.
    const path: Node[] = [root];
    const onPath = new Set<Node>([root]);
    const nextEdge: number[] = [0];
    while (path.length > 0) {
      const depth = path.length - 1;
      const node = path[depth] as Node;
      const targets = edges.get(node) ?? [];
      const at = nextEdge[depth] ?? 0;
      if (at >= targets.length) {
        path.pop();
        nextEdge.pop();
        onPath.delete(node);
        done.add(node);
        continue;
      }
      nextEdge[depth] = at + 1;
      const target = targets[at] as Node;
      if (onPath.has(target)) return path.slice(path.indexOf(target));
      if (!done.has(target)) {
        path.push(target);
        nextEdge.push(0);
        onPath.add(target);
      }
    }
  }
  return null;
}
