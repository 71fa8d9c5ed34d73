/** Yardmaster's own API, `/v1`: a superset of what the other dialects can say. */
import type { Engine } from "../../engine/engine.ts";
import type { BlobStore } from "../../store/blobs/blobStore.ts";
import type { Dialect } from "../dialect.ts";
import { JobWatch } from "../jobWatch.ts";
import type { Route } from "../route.ts";
import { DrainNews } from "./drainNews.ts";
import { problemOf } from "./problems.ts";
import { artifactRoutes } from "./routes/artifacts.ts";
import { claimRoutes } from "./routes/claims.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { type FollowLimits, logRoutes } from "./routes/logs.ts";
import { projectRoutes } from "./routes/projects.ts";
import { recordRoutes } from "./routes/records.ts";
import { statsRoutes } from "./routes/stats.ts";
import { taskRoutes } from "./routes/tasks.ts";
import { type ReplacedKey, workerRoutes } from "./routes/workers.ts";
import { binarySpec, commandSpec, scriptSpec } from "./schemas/job.ts";
import { problem, problems } from "./schemas/problem.ts";

export interface YardmasterDialectOptions extends FollowLimits {
  readonly engine: Engine;
  readonly blobs: BlobStore;
  /** Told of each artifact that somebody asks for: it is in use. */
  readonly touchArtifact: (sha256: string) => Promise<void>;
  /** Longest artifact that is taken. */
  readonly maxArtifactBytes: number;
  /** Told when a worker signs provenance with another key from now on. */
  readonly onKeyReplaced: (change: ReplacedKey) => void;
}

/** Builds the native API. It words the errors of every path that no other dialect claims. */
export function yardmasterDialect(options: YardmasterDialectOptions): Dialect {
  const { engine, blobs } = options;
  const watch = new JobWatch(engine);
  const drainNews = new DrainNews();
  return {
    name: "yardmaster",
    title: "Yardmaster",
    description:
      "JSON in camelCase; times in ISO 8601 UTC, durations in milliseconds. Unknown fields and parameters are refused. Errors are RFC 9457 problem details.",
    prefixes: ["/"],
    routes: [
      ...jobRoutes(engine),
      ...logRoutes(engine, watch, options),
      ...projectRoutes(engine),
      ...taskRoutes(engine),
      ...workerRoutes(engine, drainNews, options.onKeyReplaced),
      ...claimRoutes(engine, drainNews),
      ...recordRoutes(engine),
      ...artifactRoutes({ blobs, touch: options.touchArtifact, maxArtifactBytes: options.maxArtifactBytes }),
      ...statsRoutes(engine),
    ].map(withRefusals),
    schemas: { CommandSpec: commandSpec, BinarySpec: binarySpec, ScriptSpec: scriptSpec, Problem: problem },
    errors: problemOf,
  };
}

/** What every route answers where the server has keys or limits. */
function withRefusals(route: Route): Route {
  return { ...route, responses: { ...route.responses, ...problems(401, 403, 429) } };
}
