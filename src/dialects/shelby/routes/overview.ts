/** The system as a whole: dashboard, health, statistics. */
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { Route } from "../../route.ts";
import { gpusOf, gpuUsageOf, isActive } from "../frontNode.ts";
import * as schema from "../schemas.ts";
import type { ShelbySettings } from "../shelbySettings.ts";
import { unixSeconds } from "../unixSeconds.ts";
import type { ShelbyViews } from "../views.ts";

const TAGS = ["shelbycompute: overview"];

export interface OverviewRoutesOptions {
  readonly engine: Engine;
  readonly views: ShelbyViews;
  readonly settings: ShelbySettings;
}

export function overviewRoutes({ engine, views, settings }: OverviewRoutesOptions): Route[] {
  const { nodeTimeoutMs } = settings;
  return [
    ...fastApiRoute({
      id: "shelbyDashboard",
      method: "GET",
      path: "/api/frontend/dashboard",
      summary: "Numbers of jobs and nodes, and the newest jobs",
      tags: TAGS,
      responses: { 200: { description: "the dashboard", schema: schema.dashboard }, ...schema.errors(503) },
      handler: async () => ok(await views.dashboard()),
    }),
    ...fastApiRoute({
      id: "shelbyHealth",
      method: "GET",
      access: "open",
      path: "/api/frontend/system/health",
      summary: "Says whether the server and its store are well",
      tags: TAGS,
      responses: { 200: { description: "they are", schema: schema.health }, ...schema.errors(503) },
      handler: async () => {
        await engine.read.ping();
        const [stats, activeNodes] = await Promise.all([views.jobStats(), views.activeNodes()]);
        return ok({
          status: "healthy",
          database: "healthy",
          activeNodes,
          jobQueue: { pending: stats.pending, running: stats.assigned, completed: stats.finished },
          timestamp: unixSeconds(Date.now()),
        });
      },
    }),
    ...fastApiRoute({
      id: "shelbyNodeStats",
      method: "GET",
      path: "/api/frontend/node-stats",
      summary: "Numbers of nodes",
      description: "`totalGpus` is null where no node tells how many it has.",
      tags: TAGS,
      responses: { 200: { description: "the numbers", schema: schema.nodeStats }, ...schema.errors(503) },
      handler: async () => {
        const [nodes, stats] = await Promise.all([views.workers(), views.jobStats()]);
        const now = Date.now();
        const online = nodes.filter((node) => isActive(node, now, nodeTimeoutMs)).length;
        const gpus = nodes.map(gpusOf).filter((count) => count !== null);
        return ok({
          total: nodes.length,
          online,
          offline: nodes.length - online,
          totalGpus: gpus.length === 0 ? null : gpus.reduce((sum, count) => sum + count, 0),
          activeJobs: stats.assigned,
        });
      },
    }),
    ...fastApiRoute({
      id: "shelbySystemStats",
      method: "GET",
      path: "/api/frontend/system-stats",
      summary: "Numbers of the whole system; null where nothing is known",
      tags: TAGS,
      responses: { 200: { description: "the numbers", schema: schema.systemStats }, ...schema.errors(503) },
      handler: async () => {
        const [nodes, stats] = await Promise.all([views.workers(), views.jobStats()]);
        const now = Date.now();
        const usage = nodes
          .filter((node) => isActive(node, now, nodeTimeoutMs))
          .map(gpuUsageOf)
          .filter((percent) => percent !== null);
        return ok({
          activeJobs: stats.assigned,
          totalJobs: stats.total,
          gpuUtilization:
            usage.length === 0 ? null : usage.reduce((sum, percent) => sum + percent, 0) / usage.length,
          // Nobody tells the server of these.
          networkIO: null,
          creditsSpent: null,
          creditsPerHour: null,
        });
      },
    }),
  ];
}
