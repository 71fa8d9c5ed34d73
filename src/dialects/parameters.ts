/**
 * Reads the parameters that travel as text (path, query, headers) into the types of a schema, so that one
 * schema serves the check and the document: a number is written `z.int()`, a list `z.array(…)`.
 */
import { z } from "zod";
import { issuesOf } from "./issues.ts";
import { InvalidRequestError, type RequestIssue, type RequestPart } from "./requestErrors.ts";

/** Gives every text sent under a name; `names` lists those sent, where that can be known. */
export interface TextParameters {
  (name: string): readonly string[];
  readonly names?: readonly string[];
}

type Form = "text" | "number" | "boolean" | "list";

/** How many wrong names are told at most. */
const MAX_UNKNOWN_TOLD = 10;

/**
 * Compiles a reader for an object schema. It throws `InvalidRequestError` for a text that is not of the
 * type, a single value sent twice, and a name that the schema does not have.
 */
export function readParameters<S extends z.ZodType>(
  schema: S,
  part: RequestPart,
): (texts: TextParameters) => z.output<S> {
  if (!(schema instanceof z.ZodObject)) throw new TypeError(`the schema of the ${part} must be an object`);
  const fields = Object.entries(schema.shape).map(([name, field]) => ({ name, form: formOf(field) }));
  const known = fields.map((field) => field.name);

  // What a request without any of them means never changes.
  const absent = schema.safeParse({});

  return (texts) => {
    const values: Record<string, unknown> = {};
    const issues: RequestIssue[] = [];
    let isEmpty = true;
    for (const { name, form } of fields) {
      const sent = texts(name);
      const first = sent[0];
      if (first === undefined) continue;
      isEmpty = false;
      if (form === "list") values[name] = sent;
      else if (sent.length > 1) issues.push({ part, path: [name], message: "given more than once" });
      else values[name] = convert(first, form);
    }
    for (const name of unknownNames(texts.names, known)) {
      const message = `unknown parameter; known: ${known.join(", ") || "none"}`;
      issues.push({ part, path: [name], message });
    }
    if (issues.length > 0) throw new InvalidRequestError(issues);
    const parsed = isEmpty ? absent : schema.safeParse(values);
    if (!parsed.success) throw new InvalidRequestError(issuesOf(parsed.error, part, values));
    return parsed.data as z.output<S>;
  };
}

function unknownNames(names: readonly string[] | undefined, known: readonly string[]): readonly string[] {
  if (names === undefined) return [];
  return names.filter((name) => !known.includes(name)).slice(0, MAX_UNKNOWN_TOLD);
}

/** A text that is not of the form stays a text: the schema then says what it wanted. */
function convert(text: string, form: Form): unknown {
  if (form === "number") return /^-?\d{1,16}(\.\d{1,16})?$/.test(text) ? Number(text) : text;
  if (form === "boolean") return text === "true" ? true : text === "false" ? false : text;
  return text;
}

function formOf(field: unknown): Form {
  if (field instanceof z.ZodOptional || field instanceof z.ZodDefault || field instanceof z.ZodNullable) {
    return formOf(field.def.innerType);
  }
  if (field instanceof z.ZodNumber) return "number";
  if (field instanceof z.ZodBoolean) return "boolean";
  if (field instanceof z.ZodArray) return "list";
  return "text";
}
