/** `/api/v1/admin`: numbers of jobs and executors. None of them costs more with more jobs in the store. */
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import type { Route } from "../../route.ts";
import { countActive, executorsOf } from "../executors.ts";
import { executrRoute } from "../route.ts";
import { errors, executors, stats } from "../schemas.ts";
import { JOB_STATUSES, PRIORITIES, priorityOf, statusOf } from "../statuses.ts";
import { timestamp } from "../wire.ts";

const TAGS = ["executr: administration"];

export function adminRoutes(engine: Engine): Route[] {
  return [
    executrRoute({
      id: "executrStats",
      method: "GET",
      path: "/api/v1/admin/stats",
      summary: "Jobs by status, pending ones by priority, active executors",
      tags: TAGS,
      responses: { 200: { description: "the numbers as they are now", schema: stats }, ...errors(503) },
      handler: async () => {
        const [tallies, activeExecutors] = await Promise.all([
          engine.read.tallies({ dialect: "executr" }),
          countActive(engine.read),
        ]);
        const byStatus = zeroes(JOB_STATUSES);
        const byPriority = zeroes(PRIORITIES);
        for (const { queue, state, count } of tallies) {
          const status = statusOf(state);
          const priority = priorityOf(queue);
          byStatus[status] += count;
          if (status === "pending" && priority !== null) byPriority[priority] += count;
        }
        return ok({
          jobs_by_status: byStatus,
          pending_by_priority: byPriority,
          active_executors: activeExecutors,
          timestamp: timestamp(Date.now()),
        });
      },
    }),
    executrRoute({
      id: "executrExecutors",
      method: "GET",
      path: "/api/v1/admin/executors",
      summary: "Active executors, idle ones too",
      tags: TAGS,
      responses: { 200: { description: "one row for each", schema: executors }, ...errors(503) },
      handler: async () =>
        ok(
          (await executorsOf(engine.read)).map(({ worker, current }) => ({
            executor_id: worker.id,
            current_job_id: current?.key ?? null,
            job_type: current?.name ?? null,
            last_heartbeat: timestamp(worker.lastSeenAt),
            jobs_completed: worker.succeeded,
          })),
        ),
    }),
  ];
}

function zeroes<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
