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
import {
  type Access,
  accessOf,
  type Method,
  type ResponseDescription,
  type Route,
} from "../dialects/route.ts";

const METHOD_KEYS = {
  GET: "get",
  HEAD: "head",
  POST: "post",
  PUT: "put",
  PATCH: "patch",
  DELETE: "delete",
} as const satisfies Record<Method, string>;

/** The three ways to send a key. */
const SECURITY_SCHEMES = {
  ApiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
  Bearer: { type: "http", scheme: "bearer", description: "An API key as the token." },
  Basic: { type: "http", scheme: "basic", description: "An API key as the password, with any user name." },
} as const;

const ACCESS_NOTES = {
  open: "Needs no key.",
  read: "Any key will do.",
  submit: "Roles: submit, admin.",
  work: "Roles: work, admin.",
  write: "Roles: submit, work, admin.",
  admin: "Role: admin.",
} as const satisfies Readonly<Record<Access, string>>;

/** Builds the document. Where two dialects share a path and method, the operation tells of both. */
export function openApiDocument(dialects: readonly Dialect[]): ReturnType<typeof createDocument> {
  const paths: ZodOpenApiPathsObject = {};
  for (const route of dialects.flatMap((dialect) => dialect.routes)) {
    if (route.isAlias === true) continue;
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
      components: {
        securitySchemes: SECURITY_SCHEMES,
        schemas: Object.assign({}, ...dialects.map((dialect) => dialect.schemas)),
      },
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
  const access = accessOf(route);
  const description = [route.description, ACCESS_NOTES[access]].filter(Boolean).join("\n\n");
  if (description !== "") operation.description = description;
  // The empty one: a server without keys asks for none.
  operation.security = access === "open" ? [] : [{}, { ApiKey: [] }, { Bearer: [] }, { Basic: [] }];
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
