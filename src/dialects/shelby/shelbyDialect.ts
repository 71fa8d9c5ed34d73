/**
 * The ShelbyCompute API, as its provider agents and front ends know it. Its jobs are ordinary jobs of the kind
 * `script` in the queue `shelby`: its own agents take them by polling and acknowledging, Yardmaster's agents by
 * claiming.
 */
import type { Engine } from "../../engine/engine.ts";
import type { BlobStore } from "../../store/blobs/blobStore.ts";
import type { Dialect } from "../dialect.ts";
import { errorAnswer } from "./errors.ts";
import type { LiveLimits } from "./live/liveLimits.ts";
import { shelbyLive } from "./live/shelbyLive.ts";
import { Nodes } from "./nodes.ts";
import { creationRoutes } from "./routes/creation.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { logRoutes } from "./routes/logs.ts";
import { nodeRoutes } from "./routes/nodes.ts";
import { overviewRoutes } from "./routes/overview.ts";
import { workRoutes } from "./routes/work.ts";
import { Scripts } from "./scripts.ts";
import { DEFAULT_SHELBY_SETTINGS, type ShelbySettings } from "./shelbySettings.ts";
import { StrayScripts } from "./strayScripts.ts";
import { ShelbyViews } from "./views.ts";

export interface ShelbyDialectOptions extends Partial<ShelbySettings> {
  readonly engine: Engine;
  /** Where the native API keeps its artifacts: agents fetch scripts from there. */
  readonly blobs: BlobStore;
  /** Limits of the live streams; what is absent is as in `DEFAULT_LIVE_LIMITS`. */
  readonly live?: Partial<LiveLimits>;
  /** Told of faults of the server itself in what runs beside requests. */
  readonly onFault?: (error: unknown) => void;
}

/** The API, with what runs beside its requests. */
export interface ShelbyDialect extends Dialect {
  /** Ends the live streams. */
  close(): void;
}

/** Builds the ShelbyCompute API. What is absent is as in `DEFAULT_SHELBY_SETTINGS`. */
export function shelbyDialect(all: ShelbyDialectOptions): ShelbyDialect {
  const { engine, blobs, live: limits = {}, onFault = () => {}, ...options } = all;
  const settings: ShelbySettings = { ...DEFAULT_SHELBY_SETTINGS, ...options };
  const strays = new StrayScripts({ engine, keepMs: settings.scriptKeepMs });
  const views = new ShelbyViews({ engine, strays, nodeTimeoutMs: settings.nodeTimeoutMs });
  const nodes = new Nodes({ engine });
  const scripts = new Scripts({ engine, blobs, strays, graceMs: settings.scriptGraceMs });
  const live = shelbyLive({ engine, views, limits, onFault });
  return {
    name: "shelby",
    title: "ShelbyCompute",
    description:
      'JSON with camelCase names and times in Unix seconds. Every path answers with and without a slash at its end. Unknown fields and parameters are ignored. Errors are `{"detail": …}`.',
    prefixes: ["/api", "/ws"],
    routes: [
      ...overviewRoutes({ engine, views, settings }),
      ...jobRoutes({ engine, views, scripts }),
      ...creationRoutes({ engine, scripts, settings }),
      ...nodeRoutes({ nodes, views }),
      ...logRoutes({ engine, views }),
      ...workRoutes({ engine, views, nodes, scripts, settings }),
      ...live.routes,
    ],
    sockets: live.sockets,
    schemas: {},
    errors: errorAnswer,
    close: () => live.close(),
  };
}
