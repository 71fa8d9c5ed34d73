/** Executr's new jobs in the engine's words. */
import type { JsonObject } from "../../domain/job.ts";
import type { NewJob } from "../../engine/engine.ts";
import type { ExecutrSettings } from "./executrSettings.ts";
import type { NewJobBody } from "./schemas.ts";
import { classOf } from "./statuses.ts";

/** Pause before the first repeat of a failed job; doubled each time. */
const BACKOFF_MS = 60_000;

/** The job that a submission asks for. */
export function newJobOf(body: NewJobBody, settings: Pick<ExecutrSettings, "maxRecoveries">): NewJob {
  const { queue, priority } = classOf(body.priority);
  return {
    dialect: "executr",
    key: null,
    kind: "binary",
    queue,
    name: body.type,
    projectId: null,
    spec: specOf(body),
    task: null,
    priority,
    resources: {},
    labels: {},
    requires: {},
    dependsOn: [],
    maxAttempts: (body.max_retries ?? 0) + 1,
    maxRecoveries: settings.maxRecoveries,
    backoffMs: BACKOFF_MS,
    timeoutMs: null,
    runAt: null,
  };
}

function specOf(body: NewJobBody): JsonObject {
  const spec: JsonObject = { url: body.binary_url, sha256: body.binary_sha256.toLowerCase() };
  if (body.arguments !== undefined && body.arguments !== null && body.arguments.length > 0) {
    spec.args = body.arguments;
  }
  const env = body.env_variables ?? {};
  if (Object.keys(env).length > 0) spec.env = env;
  return spec;
}
