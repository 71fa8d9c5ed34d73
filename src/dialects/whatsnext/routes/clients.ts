/** `/clients`: programs that run jobs. Each is a worker of the engine. */
import { z } from "zod";
import { NotFoundError } from "../../../domain/errors.ts";
import type { Worker, WorkerRegistration } from "../../../domain/worker.ts";
import type { Engine } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { Route } from "../../route.ts";
import { clientDetails } from "../clientDetails.ts";
import { clamped, page, textIdPath } from "../fields.ts";
import { orNull, RefusedError } from "../refusals.ts";
import { client, clientUpdate, errors, inData, registration } from "../schemas.ts";
import { clientToWire } from "../wire.ts";
import { UNLIMITED } from "./queue.ts";

const TAGS = ["whatsnext: clients"];
const CLIENT_ID = /^[A-Za-z0-9_-]{1,128}$/;
const said = (status: string) => z.object({ status: z.literal(status) });

/** The routes about clients. */
export function clientRoutes(engine: Engine): Route[] {
  /** Workers of other APIs are not there for this one. */
  const find = async (id: string): Promise<Worker> => {
    const shown = id.slice(0, 200);
    const worker = CLIENT_ID.test(id) ? await orNull(engine.read.worker(id)) : null;
    if (worker?.dialect !== "whatsnext") throw new NotFoundError("worker", shown);
    return worker;
  };
  return [
    ...fastApiRoute({
      id: "whatsnextRegisterClient",
      method: "POST",
      access: "work",
      path: "/clients/register",
      summary: "Register a client, or say that it is back",
      tags: TAGS,
      body: registration,
      responses: { 201: { description: "the client", schema: client }, ...errors(400, 422, 503) },
      handler: async ({ body }) => {
        if (!CLIENT_ID.test(body.id)) {
          throw new RefusedError("a client's id is 1 to 128 letters, digits, '_' and '-'", "id");
        }
        const known = await orNull(engine.read.worker(body.id));
        if (known !== null && known.dialect !== "whatsnext") {
          throw new RefusedError(`${body.id} is the id of a worker that is no WhatsNext client`, "id");
        }
        const { worker } = await engine.registerWorker(registrationOf(body.id, body, null));
        return created(clientToWire(worker));
      },
    }),
    ...fastApiRoute({
      id: "whatsnextListClients",
      method: "GET",
      path: "/clients/",
      summary: "Clients, active ones unless `active_only` is false",
      tags: TAGS,
      query: z.object({ ...page, active_only: z.boolean().default(true) }),
      responses: { 200: { description: "one page", schema: z.array(client) }, ...errors(422) },
      handler: async ({ query }) => {
        const found = (await engine.read.workers())
          .filter((worker) => worker.dialect === "whatsnext" && !(query.active_only && worker.isDraining))
          .sort((a, b) => a.registeredAt - b.registeredAt || (a.id < b.id ? -1 : 1))
          .slice(query.skip, query.skip + clamped(query.limit));
        return ok(found.map(clientToWire));
      },
    }),
    ...fastApiRoute({
      id: "whatsnextGetClient",
      method: "GET",
      path: "/clients/{id}",
      summary: "One client",
      tags: TAGS,
      params: textIdPath,
      responses: { 200: { description: "the client", schema: client }, ...errors(404) },
      handler: async ({ params }) => ok(clientToWire(await find(params.id))),
    }),
    ...fastApiRoute({
      id: "whatsnextUpdateClient",
      method: "PUT",
      access: "work",
      path: "/clients/{id}",
      summary: "Change a client; what is absent or null stays",
      tags: TAGS,
      params: textIdPath,
      body: clientUpdate,
      responses: { 200: { description: "the client", schema: inData(client) }, ...errors(404, 422, 503) },
      handler: async ({ params, body }) => {
        const before = await find(params.id);
        const { worker } = await engine.registerWorker(registrationOf(before.id, body, before));
        // Registering makes active; only `register` may do that.
        const after = before.isDraining ? await engine.drainWorker(before.id) : worker;
        return ok({ data: clientToWire(after) });
      },
    }),
    ...fastApiRoute({
      id: "whatsnextHeartbeat",
      method: "POST",
      access: "work",
      path: "/clients/{id}/heartbeat",
      summary: "The client is alive: the jobs it holds stay its own",
      tags: TAGS,
      params: textIdPath,
      responses: { 200: { description: "noted", schema: said("ok") }, ...errors(404, 503) },
      handler: async ({ params }) => {
        await find(params.id);
        await engine.heartbeatWorker(params.id);
        return ok({ status: "ok" });
      },
    }),
    ...fastApiRoute({
      id: "whatsnextDeactivateClient",
      method: "POST",
      access: "work",
      path: "/clients/{id}/deactivate",
      summary: "The client leaves: what it holds is given back",
      tags: TAGS,
      params: textIdPath,
      responses: { 200: { description: "noted", schema: said("deactivated") }, ...errors(404, 503) },
      handler: async ({ params }) => {
        await find(params.id);
        await engine.releaseWorker(params.id);
        return ok({ status: "deactivated" });
      },
    }),
    ...fastApiRoute({
      id: "whatsnextDeleteClient",
      method: "DELETE",
      access: "work",
      path: "/clients/{id}",
      summary: "Forget a client; what it holds is given back",
      tags: TAGS,
      params: textIdPath,
      responses: { 204: { description: "deleted" }, ...errors(404, 503) },
      handler: async ({ params }) => {
        await find(params.id);
        await engine.deleteWorker(params.id);
        return noContent();
      },
    }),
  ];
}

/** The client as a worker; what `body` leaves out is as it was `before`. */
function registrationOf(
  id: string,
  body: z.output<typeof clientUpdate>,
  before: Worker | null,
): WorkerRegistration {
  const was = before === null ? null : clientDetails(before);
  return {
    id,
    name: body.name ?? before?.name ?? id,
    address: before?.address ?? null,
    capacity: { cpu: UNLIMITED, accelerators: UNLIMITED, memoryMb: UNLIMITED },
    labels: {},
    queues: [],
    kinds: ["command", "external"],
    dialect: "whatsnext",
    details: {
      entity: body.entity ?? was?.entity ?? "",
      description: body.description ?? was?.description ?? "",
      availableCpu: body.available_cpu ?? was?.availableCpu ?? 0,
      availableAccelerators: body.available_accelerators ?? was?.availableAccelerators ?? 0,
    },
  };
}
