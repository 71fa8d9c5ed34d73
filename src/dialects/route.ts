/**
 * One route of a dialect, declared as data. From the same declaration come the check of each request, the
 * OpenAPI document and the answer to wrong methods.
 *
 * ```ts
 * defineRoute({
 *   id: "getJob", method: "GET", path: "/v1/jobs/{job}", tags: ["jobs"],
 *   summary: "One job", params: z.strictObject({ job: jobRef }),
 *   responses: { 200: { description: "the job", schema: job } },
 *   handler: async ({ params }) => json(await engine.read.job(params.job)),
 * });
 * ```
 */
import type { z } from "zod";
import { issuesOf } from "./issues.ts";
import type { LiveStream } from "./liveStream.ts";
import { readParameters, type TextParameters } from "./parameters.ts";
import { InvalidRequestError, MalformedBodyError } from "./requestErrors.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/**
 * What a key allows. `read` looks; `submit` reads and submits, cancels, retries and deletes; `work` reads and
 * does what a worker does; `admin` does everything.
 */
export type KeyRole = "read" | "submit" | "work" | "admin";

/** Who asks. Everybody is anonymous as long as the server has no keys. */
export type Role = KeyRole | "anonymous";

/**
 * Who may call a route of a server that has keys. `open` asks for no key; `write` takes the roles `submit`
 * and `work`; the others take the role of that name. `admin` may call every route, and every role those of `read`.
 */
export type Access = "open" | "write" | KeyRole;

/** A request that takes a while: a long poll, or an answer of many pages. */
export interface LiveRequest {
  /** Aborted when the client goes away or the server closes. */
  readonly signal: AbortSignal;
  /** To be called when the request has ended by itself. */
  done(): void;
  /** Aborts the signal and ends the request, before its client or the server does. */
  abort(): void;
}

/** A JSON body as it came. */
export interface JsonBody {
  /** Undefined when the body was empty. */
  readonly value: unknown;
  readonly bytes: Uint8Array;
}

/** How a body is read where it is not as everywhere. */
export interface BodyOptions {
  /** In place of the server's own limit. */
  readonly maxBytes?: number;
  /** Bytes that are no UTF-8 become replacement characters instead of an error. */
  readonly replacesBadUtf8?: boolean;
  /** JSON may come as `application/x-www-form-urlencoded`, as curl says of every body by itself. */
  readonly acceptsForms?: boolean;
}

/** One request as the server hands it to a route. */
export interface Call {
  readonly request: Request;
  /** The path without query, still percent-encoded. */
  readonly path: string;
  /** The query without `?`, still percent-encoded. */
  readonly search: string;
  readonly role: Role;
  /**
   * Names who asks, the same on every server: by the key, also where a token stands for it, by the holder of another
   * issuer's token, or by the address. Several behind one proxy are one where the server has no keys.
   */
  caller(): string;
  /** Values of the path's `{placeholders}`, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** Reads the body as JSON within the server's limits on size and depth. */
  readJson(options?: BodyOptions): Promise<JsonBody>;
  /** Enters the request among those that the server ends when it closes. */
  live(): LiveRequest;
  /**
   * The same for an answer that goes on for as long as its reader follows: counted with the WebSockets. Its `body`
   * is to be the answer's.
   *
   * @throws OverloadedError when there is no room for one more
   */
  stream(): LiveStream;
}

/** A request that fits the route's schemas. */
export interface Context<Params, Query, Headers, Body> {
  readonly call: Call;
  readonly request: Request;
  readonly role: Role;
  readonly params: Params;
  readonly query: Query;
  readonly headers: Headers;
  readonly body: Body;
  /** The body's own bytes; empty where the route reads none. */
  readonly bodyBytes: Uint8Array;
}

/** One answer, for the OpenAPI document. */
export interface ResponseDescription {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** Defaults to `application/json` where there is a schema; several share the description. */
  readonly contentType?: string;
  /** More forms of the same answer, by content type. */
  readonly alternatives?: Readonly<Record<string, z.ZodType>>;
}

/** What a route says of itself to readers. */
export interface RouteDescription {
  /** Unique over all dialects; the OpenAPI `operationId`. */
  readonly id: string;
  readonly method: Method;
  /** With placeholders in braces: `/v1/jobs/{job}`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly responses: Readonly<Record<number, ResponseDescription>>;
  /** Absent is `read` for GET and HEAD, else `submit`. */
  readonly access?: Access;
  /** Another spelling of a path that has a route of its own: served, and left out of the OpenAPI document. */
  readonly isAlias?: boolean;
  /** Always answers with an event stream: a token may stand in its address (`?access_token=`). */
  readonly isEventStream?: boolean;
  /** Longest body, in place of the server's own limit: the handler reads it with the same number. */
  readonly maxBodyBytes?: number;
  /** A body that the handler reads itself, as a stream. */
  readonly rawBody?: { readonly contentType: string; readonly description: string };
  /**
   * For a path that several dialects have: takes the request only when this says so. Routes are asked in
   * the order of the dialects.
   */
  readonly matches?: (call: Call) => boolean;
}

export interface RouteDeclaration<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Headers extends z.ZodType,
  Body extends z.ZodType,
> extends RouteDescription {
  readonly params?: Params;
  readonly query?: Query;
  /** Names in small letters. */
  readonly headers?: Headers;
  readonly body?: Body;
  /** Where `body` is a union: the alternative to check a value by, which is faster and told more clearly. */
  readonly bodyFor?: (value: unknown) => z.ZodType<z.output<Body>>;
  handler(
    context: Context<z.output<Params>, z.output<Query>, z.output<Headers>, z.output<Body>>,
  ): Response | Promise<Response>;
}

/** The schemas of a route's request, for the OpenAPI document. */
export interface RequestSchemas {
  readonly params: z.ZodType | null;
  readonly query: z.ZodType | null;
  readonly headers: z.ZodType | null;
  readonly body: z.ZodType | null;
}

export interface Route extends RouteDescription {
  readonly schemas: RequestSchemas;
  /** Checks the request and answers it. Throws the errors that the dialect words. */
  handle(call: Call): Promise<Response>;
}

/** Who may call a route. */
export function accessOf(route: Pick<RouteDescription, "access" | "method">): Access {
  return route.access ?? (route.method === "GET" || route.method === "HEAD" ? "read" : "submit");
}

const NO_BYTES = new Uint8Array(0);

/** Binds a declaration's schemas and handler into a route. */
export function defineRoute<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Headers extends z.ZodType,
  Body extends z.ZodType,
>(declaration: RouteDeclaration<Params, Query, Headers, Body>): Route {
  const { params, query, headers, body, bodyFor, handler, ...description } = declaration;
  const readPath = params === undefined ? null : readParameters(params, "path");
  const readQuery = query === undefined ? null : readParameters(query, "query");
  const readHeaders = headers === undefined ? null : readParameters(headers, "header");
  const absent = undefined as never;

  return {
    ...description,
    schemas: { params: params ?? null, query: query ?? null, headers: headers ?? null, body: body ?? null },
    async handle(call) {
      let value: z.output<Body> = absent;
      let bodyBytes: Uint8Array = NO_BYTES;
      const pathValues = readPath === null ? absent : readPath(pathTexts(call));
      const queryValues = readQuery === null ? absent : readQuery(queryTexts(call));
      const headerValues = readHeaders === null ? absent : readHeaders((name) => headerTexts(call, name));
      if (body !== undefined) {
        const sent = await call.readJson();
        bodyBytes = sent.bytes;
        const parsed = (bodyFor?.(sent.value) ?? body).safeParse(sent.value);
        if (!parsed.success) {
          if (sent.value === undefined) throw new MalformedBodyError("a JSON body is required");
          throw new InvalidRequestError(issuesOf(parsed.error, "body", sent.value));
        }
        value = parsed.data;
      }
      return handler({
        call,
        request: call.request,
        role: call.role,
        params: pathValues,
        query: queryValues,
        headers: headerValues,
        body: value,
        bodyBytes,
      });
    },
  };
}

function pathTexts(call: Call): TextParameters {
  return (name) => {
    const text = call.params[name];
    return text === undefined ? [] : [text];
  };
}

function queryTexts(call: Call): TextParameters {
  if (call.search === "") return EMPTY_QUERY;
  const all = new URLSearchParams(call.search);
  return Object.assign((name: string) => all.getAll(name), { names: [...new Set(all.keys())] });
}

const EMPTY_QUERY: TextParameters = () => [];

function headerTexts(call: Call, name: string): readonly string[] {
  const text = call.request.headers.get(name);
  return text === null ? [] : [text];
}
