/**
 * Declares routes of the APIs that were made with FastAPI. Beside what every dialect's routes say, each is served
 * with and without a slash at its end, reads its query as leniently as FastAPI does (unknown names are ignored,
 * the last of a repeated name counts), and tells faults in FastAPI's shape.
 */
import { z } from "zod";
import type { Call, Route, RouteDescription } from "../route.ts";
import { BODY_MISSING, BODY_NO_OBJECT, checked, type Part, ValidationError } from "./validation.ts";

/** A request that fits the route's schemas. */
export interface Context<Params, Query, Body> {
  readonly call: Call;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
}

/** What a route says of itself; its schemas are those of the parts that it reads. */
export interface Declaration<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>
  extends RouteDescription {
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** Where the path's other spelling may be another API's: in place of `matches` there. */
  readonly otherSpellingMatches?: (call: Call) => boolean;
  handler(context: Context<z.output<Params>, z.output<Query>, z.output<Body>>): Response | Promise<Response>;
}

/** The route at its documented path, and at the same path with or without a slash more. */
export function fastApiRoute<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  declaration: Declaration<Params, Query, Body>,
): Route[] {
  const { params, query, body, otherSpellingMatches, handler, ...description } = declaration;
  const readParams = params === undefined ? null : textReader(params, "path");
  const readQuery = query === undefined ? null : textReader(query, "query");
  const absent = undefined as never;

  const route: Route = {
    ...description,
    schemas: { params: params ?? null, query: query ?? null, headers: null, body: body ?? null },
    async handle(call) {
      const pathValues = readParams === null ? absent : readParams((name) => call.params[name]);
      const queryValues = readQuery === null ? absent : readQuery(queryTexts(call));
      const bodyValue = body === undefined ? absent : await readBody(body, call);
      return handler({ call, params: pathValues, query: queryValues, body: bodyValue });
    },
  };
  const { path } = description;
  if (path === "/") return [route];
  const matches = otherSpellingMatches ?? description.matches;
  const other: Route = {
    ...route,
    path: path.endsWith("/") ? path.slice(0, -1) : `${path}/`,
    id: `${route.id}OtherSpelling`,
    isAlias: true,
    ...(matches === undefined ? {} : { matches }),
  };
  return [route, other];
}

async function readBody<S extends z.ZodType>(schema: S, call: Call): Promise<z.output<S>> {
  const { value } = await call.readJson();
  if (value === undefined) throw new ValidationError("body", [BODY_MISSING]);
  if (Array.isArray(value) || typeof value !== "object" || value === null) {
    throw new ValidationError("body", [BODY_NO_OBJECT]);
  }
  return checked(schema, value, "body");
}

type Form = "integer" | "boolean" | "text";

/** Compiles a reader of parameters that travel as text. */
function textReader<S extends z.ZodType>(
  schema: S,
  part: Part,
): (textOf: (name: string) => string | undefined) => z.output<S> {
  if (!(schema instanceof z.ZodObject)) throw new TypeError(`the schema of the ${part} must be an object`);
  const fields = Object.entries(schema.shape).map(([name, field]) => ({ name, form: formOf(field) }));
  return (textOf) => {
    const values: Record<string, unknown> = {};
    for (const { name, form } of fields) {
      const text = textOf(name);
      if (text !== undefined) values[name] = convert(text, form);
    }
    return checked(schema, values, part) as z.output<S>;
  };
}

const WORDS_FOR_TRUE = new Set(["true", "1", "yes", "on", "t", "y"]);
const WORDS_FOR_FALSE = new Set(["false", "0", "no", "off", "f", "n"]);

/** A text that is not of the form stays a text: the schema then says what it wanted. */
function convert(text: string, form: Form): unknown {
  if (form === "text") return text;
  const word = text.trim().toLowerCase();
  if (form === "integer") return /^[+-]?\d{1,300}$/.test(word) ? Number(word) : text;
  if (WORDS_FOR_TRUE.has(word)) return true;
  return WORDS_FOR_FALSE.has(word) ? false : text;
}

function formOf(field: unknown): Form {
  if (field instanceof z.ZodOptional || field instanceof z.ZodDefault) return formOf(field.def.innerType);
  if (field instanceof z.ZodNumber) return "integer";
  return field instanceof z.ZodBoolean ? "boolean" : "text";
}

function queryTexts(call: Call): (name: string) => string | undefined {
  if (call.search === "") return () => undefined;
  const all = new URLSearchParams(call.search);
  return (name) => all.getAll(name).at(-1);
}
