/** `/v1/stats`. */
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { defineRoute, type Route } from "../../route.ts";
import { stats } from "../schemas/stats.ts";

/** The route with the figures that people look at; `/metrics` has those for machines. */
export function statsRoutes(engine: Engine): Route[] {
  return [
    defineRoute({
      id: "getStats",
      method: "GET",
      path: "/v1/stats",
      summary: "Jobs by state and queue, workers by state, rates",
      tags: ["operation"],
      responses: { 200: { description: "the figures as they are now", schema: stats } },
      handler: async () => ok(await engine.read.stats()),
    }),
  ];
}
