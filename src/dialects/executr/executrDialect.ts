/**
 * The Executr API, as its own executors, client library and scripts know it, under `/api/v1`. Its jobs are
 * ordinary jobs of the kind `binary`, in one queue for each priority: executors claim them here, agents
 * through Yardmaster's own API.
 */
import type { Engine } from "../../engine/engine.ts";
import type { Dialect } from "../dialect.ts";
import { ApiTimes } from "./apiTimes.ts";
import { Claims } from "./claims.ts";
import { errorAnswer } from "./errors.ts";
import { DEFAULT_EXECUTR_SETTINGS, type ExecutrSettings } from "./executrSettings.ts";
import { JobViews } from "./jobViews.ts";
import { ExecutrMetrics } from "./metrics.ts";
import { Reports } from "./reports.ts";
import { adminRoutes } from "./routes/admin.ts";
import { bulkRoutes } from "./routes/bulk.ts";
import { executorRoutes } from "./routes/executors.ts";
import { healthRoutes } from "./routes/health.ts";
import { jobRoutes } from "./routes/jobs.ts";

export interface ExecutrDialectOptions extends Partial<ExecutrSettings> {
  readonly engine: Engine;
}

/** Builds the Executr API. What is absent is as in `DEFAULT_EXECUTR_SETTINGS`. */
export function executrDialect({ engine, ...options }: ExecutrDialectOptions): Dialect {
  const settings: ExecutrSettings = { ...DEFAULT_EXECUTR_SETTINGS, ...options };
  const views = new JobViews(engine.read);
  const reports = new Reports(engine, views);
  const claims = new Claims(engine, reports, settings);
  const times = new ApiTimes();
  return {
    name: "executr",
    title: "Executr",
    description:
      'JSON with snake_case names. Unknown fields and parameters are ignored, and fields that are null are absent. Errors are `{"error": …, "context": {…}}`.',
    prefixes: ["/api/v1"],
    routes: [
      ...healthRoutes(engine, new ExecutrMetrics(engine, times)),
      ...bulkRoutes({ engine, views, settings }),
      ...jobRoutes({ engine, views, settings }),
      ...executorRoutes({ views, claims, reports }),
      ...adminRoutes(engine),
    ],
    schemas: {},
    errors: errorAnswer,
    observe: times.observe,
  };
}
