/** Why a job does not start yet, in words for the person who waits for it. Pure. */
import type { Job, JobDependencies, Resources, Worker } from "@yardmaster/client";
import { formatDuration } from "./duration.ts";

type Dependencies = JobDependencies["items"];

/** The reason, or null when nothing is in the way and the job will start at any moment. */
export function waitingReason(
  job: Job,
  workers: readonly Worker[],
  dependencies: Dependencies,
  nowMs: number,
): string | null {
  if (job.state === "blocked") {
    const failed = dependencies.filter((item) => ["failed", "cancelled", "blocked"].includes(item.state));
    const names = failed.map((item) => `${item.id} ${item.state}`).join(", ");
    return `a job it depends on did not succeed (${names || "see its dependencies"})`;
  }
  if (job.state === "waiting") {
    const unmet = dependencies.filter((item) => item.state !== "succeeded");
    if (unmet.length > 0)
      return `waits for ${unmet.map((item) => `job ${item.id} (${item.state})`).join(", ")}`;
    const leftMs = job.runAt === null ? 0 : Date.parse(job.runAt) - nowMs;
    return leftMs > 0 ? `starts in ${formatDuration(leftMs)}` : null;
  }
  return job.state === "ready" ? reasonOfReady(job, workers) : null;
}

function reasonOfReady(job: Job, workers: readonly Worker[]): string | null {
  const online = workers.filter((worker) => worker.state === "online");
  if (online.length === 0) {
    const draining = workers.some((worker) => worker.state === "draining");
    return draining
      ? "all agents online are draining"
      : "no agent is online; start one with `yardmaster agent`";
  }
  const serving = online.filter((worker) => worker.queues.includes("*") || worker.queues.includes(job.queue));
  if (serving.length === 0) return `no agent online takes queue ${job.queue}`;
  const skilled = serving.filter((worker) => worker.kinds.includes(job.kind));
  if (skilled.length === 0) return `no agent online that takes queue ${job.queue} runs ${job.kind} jobs`;
  const required = Object.entries(job.requires);
  const labelled = skilled.filter((worker) => required.every(([key, value]) => worker.labels[key] === value));
  if (labelled.length === 0) {
    const wanted = required.map(([key, value]) => `${key}=${value}`).join(", ");
    return `no agent online for queue ${job.queue} has the labels ${wanted}`;
  }
  const need = job.resources;
  if (!labelled.some((worker) => holds(worker.capacity, need))) return shortage(need, labelled);
  return "agents that can run it are busy";
}

function holds(capacity: Resources, need: Resources): boolean {
  return (
    need.cpu <= capacity.cpu &&
    need.accelerators <= capacity.accelerators &&
    need.memoryMb <= capacity.memoryMb
  );
}

function shortage(need: Resources, workers: readonly Worker[]): string {
  const amounts: readonly (readonly [keyof Resources, string])[] = [
    ["cpu", "cpu"],
    ["accelerators", "accelerators"],
    ["memoryMb", "MiB of memory"],
  ];
  const missing: string[] = [];
  for (const [key, word] of amounts) {
    const largest = Math.max(...workers.map((worker) => worker.capacity[key]));
    if (need[key] > largest) missing.push(`needs ${need[key]} ${word}; largest online agent has ${largest}`);
  }
  return missing.length > 0 ? missing.join("; ") : "no single agent online has all the resources it needs";
}
