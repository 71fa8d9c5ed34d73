/** A node as ShelbyCompute's front ends see it: one of its own agents, or an agent of Yardmaster's. */
import type { Json, JsonObject } from "../../domain/job.ts";
import type { Worker } from "../../domain/worker.ts";
import { objectOr } from "./jobSpec.ts";
import { QUEUE } from "./submission.ts";
import { unixSeconds } from "./unixSeconds.ts";

/** What a node tells beyond these is no figure: one node must not spoil the sums of all. */
const MAX_GPUS = 1_000_000;
const MAX_PERCENT = 100;

/** Says whether the worker can run ShelbyCompute's jobs. */
export function isNode({ dialect, kinds, queues }: Worker): boolean {
  if (dialect === "shelby") return true;
  return kinds.includes("script") && (queues.includes("*") || queues.includes(QUEUE));
}

/** Says whether the node was heard from lately. */
export function isActive(node: Worker, now: number, nodeTimeoutMs: number): boolean {
  return now - node.lastSeenAt < nodeTimeoutMs;
}

export function frontNode(node: Worker, now: number, nodeTimeoutMs: number) {
  const lastSeen = unixSeconds(node.lastSeenAt);
  const isHere = isActive(node, now, nodeTimeoutMs);
  return {
    nodeId: node.id,
    status: isHere ? "active" : "inactive",
    lastSeen,
    lastSeenAgo: Math.max(0, unixSeconds(now) - lastSeen),
    specs: specsOf(node, isHere),
  };
}

/**
 * What ShelbyCompute's agents said of themselves; of Yardmaster's own, what is known, in the same words.
 *
 * @param isHere how busy it is can be told
 */
export function specsOf(node: Worker, isHere = true): JsonObject {
  if (node.dialect === "shelby") return objectOr(node.details.specs);
  const { cpu, accelerators, memoryMb } = node.capacity;
  const machine = objectOr(node.details.machine);
  const load = isHere ? objectOr(node.details.load) : {};
  const known = {
    memoryMb: machine.memoryMb ?? (memoryMb === 0 ? null : memoryMb),
    cores: machine.cores ?? cpu,
  };
  return {
    cpuUsage: load.cpuPercent ?? null,
    ramUsage: load.memoryPercent ?? null,
    totalRAM_GB: gigabytes(known.memoryMb),
    os: machine.os ?? null,
    platform: machine.platform ?? null,
    processor: machine.processor ?? null,
    cpuCount: known.cores,
    gpuCount: accelerators,
    gpuUsage: load.gpuPercent ?? null,
    gpuNames: Array.isArray(machine.gpus) ? machine.gpus.map((gpu) => objectOr(gpu).name ?? null) : null,
  };
}

function gigabytes(memoryMb: Json): number | null {
  return typeof memoryMb === "number" ? Math.round((memoryMb / 1_024) * 10) / 10 : null;
}

/** Number of the node's GPUs; null where it does not tell. */
export function gpusOf(node: Worker): number | null {
  const specs = specsOf(node);
  for (const name of ["gpuCount", "gpus", "totalGpus", "gpu_count"]) {
    const value = specs[name];
    if (typeof value === "number" && value >= 0 && value <= MAX_GPUS) return Math.floor(value);
    if (Array.isArray(value)) return value.length;
  }
  return null;
}

/** How busy the node's GPUs are, in percent; null where it does not tell. */
export function gpuUsageOf(node: Worker): number | null {
  const specs = specsOf(node);
  for (const name of ["gpuUsage", "gpuUtilization", "gpu_usage"]) {
    const value = specs[name];
    if (typeof value === "number" && value >= 0 && value <= MAX_PERCENT) return value;
  }
  return null;
}
