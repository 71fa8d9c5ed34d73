/** ShelbyCompute's new jobs in the engine's words. */
import type { NewJob } from "../../engine/engine.ts";
import { type JobSpec, specToEngine } from "./jobSpec.ts";

/** The queue of all its jobs. */
export const QUEUE = "shelby";

/** How often a job goes to another node after its node fell silent. */
const MAX_RECOVERIES = 3;

/** @param runAt time before which the job is offered to nobody; null is none */
export function newJobOf(key: string | null, spec: JobSpec, runAt: number | null): NewJob {
  return {
    dialect: "shelby",
    key,
    kind: "script",
    queue: QUEUE,
    name: spec.datasetName,
    projectId: null,
    spec: specToEngine(spec),
    task: null,
    priority: 0,
    resources: {},
    labels: {},
    requires: {},
    dependsOn: [],
    maxAttempts: 1,
    maxRecoveries: MAX_RECOVERIES,
    timeoutMs: null,
    runAt,
  };
}
