/** Nodes: as front ends see them, and what their agents say of them. */
import { z } from "zod";
import { ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { Route } from "../../route.ts";
import { nodePath } from "../fields.ts";
import type { Nodes } from "../nodes.ts";
import * as schema from "../schemas.ts";
import type { ShelbyViews } from "../views.ts";

const TAGS = ["shelbycompute: nodes"];

export function nodeRoutes({
  nodes,
  views,
}: {
  readonly nodes: Nodes;
  readonly views: ShelbyViews;
}): Route[] {
  return [
    ...fastApiRoute({
      id: "shelbyListNodes",
      method: "GET",
      path: "/api/frontend/nodes",
      summary: "All nodes, those heard from last first",
      tags: TAGS,
      responses: { 200: { description: "the nodes", schema: schema.nodes }, ...schema.errors(503) },
      handler: async () => {
        const all = await views.nodes();
        return ok({ nodes: all, count: all.length });
      },
    }),
    ...fastApiRoute({
      id: "shelbyDeleteNode",
      method: "DELETE",
      path: "/api/frontend/nodes/{node_id}",
      summary: "Forget a node; refused while it holds a job",
      tags: TAGS,
      params: nodePath,
      responses: {
        200: { description: "deleted", schema: schema.done({ message: z.string(), nodeId: z.string() }) },
        ...schema.errors(400, 404, 503),
      },
      handler: async ({ params }) => {
        const nodeId = params.node_id;
        await nodes.remove(nodeId);
        return ok({ status: "ok", message: "Node deleted successfully", nodeId });
      },
    }),
    ...fastApiRoute({
      id: "shelbyRegisterNode",
      method: "POST",
      access: "work",
      path: "/api/nodes/register",
      summary: "Register a node; again replaces its specs",
      tags: TAGS,
      body: schema.registration,
      responses: {
        200: { description: "registered", schema: schema.done({ nodeId: z.string() }) },
        ...schema.errors(400, 422, 503),
      },
      handler: async ({ body }) => {
        const { nodeId, specs } = body;
        await nodes.register({
          nodeId,
          specs,
          containerSupported: body.containerSupported ?? true,
          handshakeKey: body.handshakeKey ?? null,
          aptosPublicKey: body.aptosPublicKey ?? null,
        });
        return ok({ status: "ok", nodeId });
      },
    }),
    ...fastApiRoute({
      id: "shelbyHeartbeat",
      method: "POST",
      access: "work",
      path: "/api/nodes/heartbeat",
      summary: "The node is alive: the jobs it holds stay its own",
      tags: TAGS,
      body: schema.heartbeat,
      responses: {
        200: { description: "noted", schema: schema.done({ nodeId: z.string() }) },
        ...schema.errors(400, 422, 503),
      },
      handler: async ({ body }) => {
        await nodes.heartbeat(body.nodeId);
        return ok({ status: "ok", nodeId: body.nodeId });
      },
    }),
  ];
}
