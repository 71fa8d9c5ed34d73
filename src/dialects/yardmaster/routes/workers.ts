/** `/v1/workers`: register, look, drain. */
import type { Engine } from "../../../engine/engine.ts";
import { created, ok } from "../../answers.ts";
import { defineRoute, type Route } from "../../route.ts";
import type { DrainNews } from "../drainNews.ts";
import { problems } from "../schemas/problem.ts";
import { newLoad, registration, worker, workerList, workerPath } from "../schemas/worker.ts";
import { workerToWire } from "../wire.ts";

const TAGS = ["workers"];

/** A worker that registered without the public key that it had until now. */
export interface ReplacedKey {
  readonly workerId: string;
  readonly replaced: string;
  /** Null where it told none. */
  readonly publicKey: string | null;
}

/** The routes about workers. `onKeyReplaced` is told when one signs with another key from now on. */
export function workerRoutes(
  engine: Engine,
  drainNews: DrainNews,
  onKeyReplaced: (change: ReplacedKey) => void,
): Route[] {
  return [
    defineRoute({
      id: "registerWorker",
      method: "POST",
      access: "work",
      path: "/v1/workers",
      summary: "Register a worker, or say that it is back",
      tags: TAGS,
      body: registration,
      responses: {
        201: { description: "the worker, new", schema: worker },
        200: { description: "the worker, known before", schema: worker },
        ...problems(415, 422, 503),
      },
      handler: async ({ body }) => {
        const { publicKey, machine, ...said } = body;
        const registered = await engine.registerWorker({
          ...said,
          name: body.name ?? body.id,
          address: body.address ?? null,
          dialect: "yardmaster",
          details: {
            ...(publicKey === undefined ? {} : { publicKey }),
            ...(machine === undefined ? {} : { machine }),
          },
        });
        drainNews.settled(body.id);
        const { replacedKey: replaced } = registered;
        if (replaced !== null) {
          onKeyReplaced({ workerId: body.id, replaced, publicKey: publicKey ?? null });
        }
        const wire = workerToWire(registered.worker);
        return registered.isNew ? created(wire) : ok(wire);
      },
    }),
    defineRoute({
      id: "listWorkers",
      method: "GET",
      path: "/v1/workers",
      summary: "All workers",
      tags: TAGS,
      responses: { 200: { description: "the workers", schema: workerList } },
      handler: async () => ok({ items: (await engine.read.workers()).map(workerToWire) }),
    }),
    defineRoute({
      id: "getWorker",
      method: "GET",
      path: "/v1/workers/{id}",
      summary: "One worker",
      tags: TAGS,
      params: workerPath,
      responses: { 200: { description: "the worker", schema: worker }, ...problems(404, 422) },
      handler: async ({ params }) => ok(workerToWire(await engine.read.worker(params.id))),
    }),
    defineRoute({
      id: "reportLoad",
      method: "POST",
      access: "work",
      path: "/v1/workers/{id}/load",
      summary: "Say how busy the worker's machine is",
      description: "Replaces what it said before, and is a sign of life. Agents say it every 15 seconds.",
      tags: TAGS,
      params: workerPath,
      body: newLoad,
      responses: { 200: { description: "the worker", schema: worker }, ...problems(404, 415, 422, 503) },
      handler: async ({ params, body }) => {
        const load = { ...body, time: new Date().toISOString() };
        return ok(workerToWire(await engine.describeWorker(params.id, { load })));
      },
    }),
    defineRoute({
      id: "drainWorker",
      method: "POST",
      access: "work",
      path: "/v1/workers/{id}/drain",
      summary: "Give a worker nothing more",
      description:
        "The answers to its claims tell the worker, and an agent then ends when its jobs have ended. Registering makes it active again.",
      tags: TAGS,
      params: workerPath,
      responses: { 200: { description: "the worker", schema: worker }, ...problems(404, 422, 503) },
      handler: async ({ params }) => {
        const drained = await engine.drainWorker(params.id);
        drainNews.drained(params.id);
        return ok(workerToWire(drained));
      },
    }),
  ];
}
