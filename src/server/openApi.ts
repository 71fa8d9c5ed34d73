/** The OpenAPI 3.1 document of every API the server speaks, from the schemas that check the requests. */

import { z } from "zod";
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponsesObject,
} from "zod-openapi";
import packageJson from "../../package.json" with { type: "json" };
import type { Dialect } from "../dialects/dialect.ts";
import type { Method, ResponseDescription, Route } from "../dialects/route.ts";

const METHOD_KEYS = {
  GET: "get",
  HEAD: "head",
  POST: "post",
  PUT: "put",
  PATCH: "patch",
  DELETE: "delete",
} as const satisfies Record<Method, string>;

/** Builds the document. Where two dialects share a path and method, the operation tells of both. */
export function openApiDocument(dialects: readonly Dialect[]): ReturnType<typeof createDocument> {
  const paths: ZodOpenApiPathsObject = {};
  for (const route of dialects.flatMap((dialect) => dialect.routes)) {
    const key = METHOD_KEYS[route.method];
    const path = paths[route.path] ?? {};
    paths[route.path] = path;
    const taken = path[key];
    if (taken === undefined) path[key] = operationOf(route);
    else taken.description = [taken.description, `Also: ${route.summary}.`].filter(Boolean).join("\n\n");
  }
  return createDocument(
    {
      openapi: "3.1.0",
      info: {
        title: "Yardmaster",
        version: packageJson.version,
        description: dialects.map(({ title, description }) => `**${title}**: ${description}`).join("\n\n"),
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      paths,
      components: { schemas: Object.assign({}, ...dialects.map((dialect) => dialect.schemas)) },
    },
    { allowEmptySchema: { custom: true, unknown: true } },
  );
}

function operationOf(route: Route): ZodOpenApiOperationObject {
  const { params, query, headers, body } = route.schemas;
  const operation: ZodOpenApiOperationObject = {
    operationId: route.id,
    summary: route.summary,
    tags: [...route.tags],
    responses: responsesOf(route.responses),
  };
  if (route.description !== undefined) operation.description = route.description;
  if (params !== null || query !== null || headers !== null) {
    operation.requestParams = {
      ...(params instanceof z.ZodObject ? { path: params } : {}),
      ...(query instanceof z.ZodObject ? { query } : {}),
      ...(headers instanceof z.ZodObject ? { header: headersBeside(headers) } : {}),
    };
  }
  if (body !== null) {
    const required = !(body instanceof z.ZodOptional);
    const schema = body instanceof z.ZodOptional ? body.unwrap() : body;
    operation.requestBody = { required, content: { "application/json": { schema: zodType(schema) } } };
  }
  if (route.rawBody !== undefined) {
    const { contentType, description } = route.rawBody;
    operation.requestBody = { required: true, description, content: { [contentType]: {} } };
  }
  return operation;
}

/** The document must not name `Accept` as a parameter: the answers' content types say it. */
function headersBeside(headers: z.ZodObject): z.ZodObject {
  return "accept" in headers.shape ? headers.omit({ accept: true }) : headers;
}

function responsesOf(responses: Readonly<Record<number, ResponseDescription>>): ZodOpenApiResponsesObject {
  const described: ZodOpenApiResponsesObject = {};
  for (const [status, response] of Object.entries(responses)) {
    const content: Record<string, { schema: z.ZodType }> = {};
    if (response.schema !== undefined) {
      content[response.contentType ?? "application/json"] = { schema: response.schema };
    }
    for (const [type, schema] of Object.entries(response.alternatives ?? {})) content[type] = { schema };
    described[`${Number(status)}` as `${1 | 2 | 3 | 4 | 5}${string}`] = {
      description: response.description,
      ...(Object.keys(content).length > 0 ? { content } : {}),
    };
  }
  return described;
}

function zodType(schema: unknown): z.ZodType {
  if (schema instanceof z.ZodType) return schema;
  throw new TypeError("a body's schema must be a Zod schema");
}
