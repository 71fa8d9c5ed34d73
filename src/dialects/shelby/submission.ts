/** ShelbyCompute's new jobs in the engine's words. */
import type { NewJob } from "../../engine/engine.ts";
import { type JobSpec, specToEngine } from "./jobSpec.ts";

/** The queue of all its jobs. */
export const QUEUE = "shelby";

/** How often a job goes to another node after its node fell silent. */
const MAX_RECOVERIES = 3;

/** Label of jobs that wait for a script without an id of their creator's: who that is. */
export const CREATOR_LABEL = "shelby.creator";

/**
 * @param runAt time before which the job is offered to nobody; null is none
 * @param creator who may upload the script for another id; null is nobody
 */
export function newJobOf(
  key: string | null,
  spec: JobSpec,
  runAt: number | null,
  creator: string | null = null,
): NewJob {
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
    labels: creator === null ? {} : { [CREATOR_LABEL]: creator },
    requires: {},
    dependsOn: [],
    maxAttempts: 1,
    maxRecoveries: MAX_RECOVERIES,
    timeoutMs: null,
    runAt,
  };
}
