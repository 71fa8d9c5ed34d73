/** `GET /` and `GET /checkdb`. */
import { z } from "zod";
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { Route } from "../../route.ts";
import { errors } from "../schemas.ts";

const TAGS = ["whatsnext: health"];
const message = z.object({ message: z.string(), status: z.string() });

export function healthRoutes(engine: Engine): Route[] {
  return [
    ...fastApiRoute({
      id: "whatsnextCheckConnection",
      method: "GET",
      access: "open",
      path: "/",
      summary: "Says that the server is here",
      tags: TAGS,
      responses: { 200: { description: "it is", schema: message } },
      handler: () => ok({ message: "OK", status: "healthy" }),
    }),
    ...fastApiRoute({
      id: "whatsnextCheckDatabase",
      method: "GET",
      access: "open",
      path: "/checkdb",
      summary: "Says whether the store answers",
      tags: TAGS,
      responses: {
        200: { description: "it answers", schema: message.extend({ database: z.string() }) },
        ...errors(503),
      },
      handler: async () => {
        await engine.read.ping();
        return ok({ message: "DB is working", status: "healthy", database: "connected" });
      },
    }),
  ];
}
