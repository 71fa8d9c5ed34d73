/** `/api/v1/health` and `/api/v1/metrics`. */
import { z } from "zod";
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import type { Route } from "../../route.ts";
import type { ExecutrMetrics } from "../metrics.ts";
import { executrRoute } from "../route.ts";

const TAGS = ["executr: operation"];
/** A store that says nothing for so long counts as away. */
const PING_TIMEOUT_MS = 5_000;

export function healthRoutes(engine: Engine, metrics: ExecutrMetrics): Route[] {
  return [
    executrRoute({
      id: "executrHealth",
      method: "GET",
      access: "open",
      path: "/api/v1/health",
      summary: "Says whether the server and its store are there; 200 either way",
      tags: TAGS,
      responses: {
        200: {
          description: "whether they are",
          schema: z.object({
            status: z.enum(["healthy", "unhealthy"]),
            database: z.enum(["connected", "disconnected"]),
          }),
        },
      },
      handler: async () =>
        ok(
          (await isThere(engine))
            ? { status: "healthy", database: "connected" }
            : { status: "unhealthy", database: "disconnected" },
        ),
    }),
    executrRoute({
      id: "executrMetrics",
      method: "GET",
      path: "/api/v1/metrics",
      summary: "Figures for Prometheus",
      tags: TAGS,
      responses: { 200: { description: "the figures", schema: z.string(), contentType: "text/plain" } },
      handler: async () =>
        new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } }),
    }),
  ];
}

async function isThere(engine: Engine): Promise<boolean> {
  const { promise: silence, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), PING_TIMEOUT_MS);
  const pinged = engine.read.ping().then(
    () => true,
    () => false,
  );
  const isThereNow = await Promise.race([pinged, silence]);
  clearTimeout(timer);
  return isThereNow;
}
