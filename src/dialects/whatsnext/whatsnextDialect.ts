/**
 * The WhatsNext API, as its own clients know it, on the paths at the root. Its jobs are ordinary jobs: project
 * N's are in the queue `project-N`, agents take those whose task has a command template, and WhatsNext's
 * clients take all of them.
 */
import type { Task } from "../../domain/project.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Dialect } from "../dialect.ts";
import { FreshReads } from "../freshReads.ts";
import { errorAnswer } from "./errors.ts";
import { clientRoutes } from "./routes/clients.ts";
import { healthRoutes } from "./routes/health.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { projectRoutes } from "./routes/projects.ts";
import { queueRoutes } from "./routes/queue.ts";
import { taskRoutes } from "./routes/tasks.ts";
import { DEFAULT_WHATSNEXT_SETTINGS, type WhatsNextSettings } from "./whatsnextSettings.ts";

export interface WhatsNextDialectOptions extends Partial<WhatsNextSettings> {
  readonly engine: Engine;
}

/** Builds the WhatsNext API. What is absent is as in `DEFAULT_WHATSNEXT_SETTINGS`. */
export function whatsnextDialect({ engine, ...options }: WhatsNextDialectOptions): Dialect {
  const settings: WhatsNextSettings = { ...DEFAULT_WHATSNEXT_SETTINGS, ...options };
  const tasks = new FreshReads<number, Task>((id) => engine.read.task(id));
  return {
    name: "whatsnext",
    title: "WhatsNext",
    description:
      'JSON with snake_case names. Every path answers with and without a slash at its end. Unknown fields and parameters are ignored. Errors are `{"detail": …}`.',
    prefixes: ["/projects", "/tasks", "/jobs", "/clients", "/checkdb"],
    routes: [
      ...healthRoutes(engine),
      ...projectRoutes(engine),
      ...queueRoutes({ engine, tasks, settings }),
      ...taskRoutes(engine),
      ...jobRoutes({ engine, tasks, settings }),
      ...clientRoutes(engine),
    ],
    schemas: {},
    errors: errorAnswer,
  };
}
