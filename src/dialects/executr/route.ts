/**
 * Declares Executr's routes. Beside what every dialect's routes say: a job's id in the path is a UUID, queries
 * are read as Go programs read them (unknown names are ignored, the first of a repeated name counts, an empty
 * value is none), and a body may come without a type or as curl sends it by itself.
 */
import { z } from "zod";
import { issuesOf } from "../issues.ts";
import { InvalidRequestError, MalformedBodyError, type RequestIssue } from "../requestErrors.ts";
import type { BodyOptions, Call, Route, RouteDescription } from "../route.ts";
import { uuidOf } from "./fields.ts";
import { RefusedError } from "./refusals.ts";

/** A request that fits the route's schemas. */
export interface Context<Query, Body> {
  readonly call: Call;
  /** `{id}` of the path; empty where the path has none. */
  readonly jobId: string;
  readonly query: Query;
  readonly body: Body;
}

export interface Declaration<Query extends z.ZodType, Body extends z.ZodType> extends RouteDescription {
  readonly query?: Query;
  readonly body?: Body;
  /** Bytes of the body that are no UTF-8 become replacement characters instead of an error. */
  readonly replacesBadUtf8?: boolean;
  handler(context: Context<z.output<Query>, z.output<Body>>): Response | Promise<Response>;
}

const idPath = z.object({ id: z.string().meta({ format: "uuid" }) });

/** Binds a declaration's schemas and handler into a route. */
export function executrRoute<Query extends z.ZodType, Body extends z.ZodType>(
  declaration: Declaration<Query, Body>,
): Route {
  const { query, body, replacesBadUtf8, handler, ...description } = declaration;
  const hasId = description.path.includes("{id}");
  const readQuery = query === undefined ? null : queryReader(query);
  const bodyOptions: BodyOptions = {
    acceptsForms: true,
    replacesBadUtf8: replacesBadUtf8 ?? false,
    ...(description.maxBodyBytes === undefined ? {} : { maxBytes: description.maxBodyBytes }),
  };
  const absent = undefined as never;
  return {
    ...description,
    schemas: { params: hasId ? idPath : null, query: query ?? null, headers: null, body: body ?? null },
    async handle(call) {
      const jobId = hasId ? jobIdOf(call) : "";
      const queryValues = readQuery === null ? absent : readQuery(call);
      const bodyValue = body === undefined ? absent : await readBody(body, call, bodyOptions);
      return handler({ call, jobId, query: queryValues, body: bodyValue });
    },
  };
}

function jobIdOf(call: Call): string {
  const text = call.params.id ?? "";
  const id = uuidOf(text);
  if (id === null) {
    const shown = text.slice(0, 100);
    throw new RefusedError(`${JSON.stringify(shown)} is not the id of a job: ids are UUIDs`, {
      field: "id",
      job_id: shown,
    });
  }
  return id;
}

async function readBody<S extends z.ZodType>(
  schema: S,
  call: Call,
  options: BodyOptions,
): Promise<z.output<S>> {
  const { value } = await call.readJson(options);
  if (value === undefined) throw new MalformedBodyError("a JSON body is required");
  return checkedBody(schema, value);
}

/**
 * A value of a body in the schema's types.
 *
 * @param at where in the body it stands
 * @throws InvalidRequestError
 */
export function checkedBody<S extends z.ZodType>(
  schema: S,
  value: unknown,
  at: readonly (string | number)[] = [],
): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const places = new Set<string>();
  const issues = issuesOf(parsed.error, "body", value).filter(({ path }) => {
    // What is empty is not told to be no address as well.
    const place = path.join("\0");
    const isNew = !places.has(place);
    places.add(place);
    return isNew;
  });
  throw new InvalidRequestError(issues.map((issue) => ({ ...issue, path: [...at, ...issue.path] })));
}

type Form = "integer" | "boolean" | "text";

function queryReader<S extends z.ZodType>(schema: S): (call: Call) => z.output<S> {
  if (!(schema instanceof z.ZodObject)) throw new TypeError("the schema of the query must be an object");
  const fields = Object.entries(schema.shape).map(([name, field]) => ({ name, form: formOf(field) }));
  return (call) => {
    const all = new URLSearchParams(call.search);
    const values: Record<string, unknown> = {};
    const issues: RequestIssue[] = [];
    for (const { name, form } of fields) {
      const text = all.get(name);
      if (text === null || text === "") continue;
      const value = convert(text, form);
      if (value === null) issues.push({ part: "query", path: [name], message: `must be ${FORMS[form]}` });
      else values[name] = value;
    }
    if (issues.length > 0) throw new InvalidRequestError(issues);
    const parsed = schema.safeParse(values);
    if (!parsed.success) throw new InvalidRequestError(issuesOf(parsed.error, "query", values));
    return parsed.data as z.output<S>;
  };
}

const FORMS: Readonly<Record<Form, string>> = {
  integer: "a whole number",
  boolean: "true or false",
  text: "a text",
};

/** Null for a text that is not of the form. */
function convert(text: string, form: Form): string | number | boolean | null {
  if (form === "integer") {
    if (!/^[+-]?\d{1,300}$/.test(text)) return null;
    return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(text)));
  }
  if (form === "text") return text;
  const word = text.toLowerCase();
  if (word === "true" || word === "1") return true;
  return word === "false" || word === "0" ? false : null;
}

function formOf(field: unknown): Form {
  if (field instanceof z.ZodOptional || field instanceof z.ZodDefault) return formOf(field.def.innerType);
  if (field instanceof z.ZodNumber) return "integer";
  return field instanceof z.ZodBoolean ? "boolean" : "text";
}
