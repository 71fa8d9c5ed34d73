/** The paths for operators and readers: health, metrics, the OpenAPI document and its pages. */
import { z } from "zod";
import { ok } from "../dialects/answers.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { defineRoute, type Route } from "../dialects/route.ts";
import { problems } from "../dialects/yardmaster/schemas/problem.ts";
import type { Engine } from "../engine/engine.ts";
import { docsRoutes } from "./docs/docsRoutes.ts";
import type { Metrics } from "./metrics.ts";
import { openApiDocument } from "./openApi.ts";

const TAGS = ["operation"];
const status = z.object({ status: z.string() });

export interface OperationRoutesOptions {
  readonly engine: Engine;
  readonly metrics: Metrics;
  /** The dialects that the OpenAPI document describes, known once the server is put together. */
  readonly describedDialects: () => readonly Dialect[];
}

/** `/`, `/healthz`, `/readyz`, `/metrics`, `/openapi.json`, `/docs`, `/redoc`. */
export function operationRoutes({ engine, metrics, describedDialects }: OperationRoutesOptions): Route[] {
  let document: string | null = null;
  const describe = () => {
    document ??= JSON.stringify(openApiDocument(describedDialects()));
    return document;
  };
  return [
    defineRoute({
      id: "getRoot",
      method: "GET",
      access: "open",
      path: "/",
      summary: "Says that the server is here",
      tags: TAGS,
      responses: { 200: { description: "it is", schema: status.extend({ message: z.string() }) } },
      handler: () => ok({ message: "OK", status: "healthy", docs: "/docs", api: "/v1" }),
    }),
    defineRoute({
      id: "getHealth",
      method: "GET",
      access: "open",
      path: "/healthz",
      summary: "Says that the process serves",
      tags: TAGS,
      responses: { 200: { description: "it serves", schema: status } },
      handler: () => ok({ status: "ok" }),
    }),
    defineRoute({
      id: "getReadiness",
      method: "GET",
      access: "open",
      path: "/readyz",
      summary: "Says whether the store answers and takes writes",
      tags: TAGS,
      responses: { 200: { description: "it does", schema: status }, ...problems(503) },
      handler: async () => {
        await engine.read.ping();
        return ok({ status: "ready" });
      },
    }),
    defineRoute({
      id: "getMetrics",
      method: "GET",
      path: "/metrics",
      summary: "Figures for Prometheus",
      tags: TAGS,
      responses: { 200: { description: "the figures", schema: z.string(), contentType: "text/plain" } },
      handler: async () =>
        new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } }),
    }),
    defineRoute({
      id: "getOpenApi",
      method: "GET",
      access: "open",
      path: "/openapi.json",
      summary: "This document",
      tags: TAGS,
      responses: { 200: { description: "OpenAPI 3.1", schema: z.record(z.string(), z.unknown()) } },
      handler: () =>
        new Response(describe(), {
          headers: { "content-type": "application/json", "x-content-type-options": "nosniff" },
        }),
    }),
    ...docsRoutes(),
  ];
}
