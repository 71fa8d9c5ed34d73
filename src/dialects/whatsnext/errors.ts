/** How WhatsNext words errors: FastAPI's `{"detail": …}`, a sentence or, for 422, a list of faults. */
import {
  ConflictError,
  type InputIssue,
  InvalidInputError,
  NotFoundError,
  OverloadedError,
  StoreUnavailableError,
} from "../../domain/errors.ts";
import { JSON_HEADERS } from "../answers.ts";
import {
  BodyTooLargeError,
  ForbiddenError,
  ForeignPageError,
  InvalidRequestError,
  MalformedBodyError,
  MethodNotAllowedError,
  PathNotFoundError,
  RateLimitedError,
  retryAfterSeconds,
  UnauthorizedError,
  UnsupportedMediaTypeError,
} from "../requestErrors.ts";
import { AbsentError, notFoundText } from "./refusals.ts";
import { type Fault, ValidationError } from "./validation.ts";

/** Turns any error into WhatsNext's answer; what it does not know becomes a 500 that tells nothing. */
export function errorAnswer(error: unknown): Response {
  if (error instanceof ValidationError) return answer(422, error.faults);
  if (error instanceof InvalidRequestError) {
    return answer(
      422,
      error.issues.map(({ part, path, message }) => fault([part, ...path], "value_error", message)),
    );
  }
  if (error instanceof MalformedBodyError) {
    return answer(422, [fault(["body"], "value_error.jsondecode", error.message)]);
  }
  if (error instanceof UnsupportedMediaTypeError) {
    // FastAPI reads no JSON from a body of another type, and then finds no object in it.
    return answer(422, [fault(["body"], "type_error.dict", error.message)]);
  }
  if (error instanceof InvalidInputError) return answer(400, error.issues.map(sentence).join("; "));
  if (error instanceof ConflictError) return answer(400, error.message);
  if (error instanceof AbsentError) return answer(404, error.detail);
  if (error instanceof NotFoundError) return answer(404, notFoundText(error.entity, error.ref));
  if (error instanceof PathNotFoundError) return answer(404, "Not Found");
  if (error instanceof MethodNotAllowedError) {
    return answer(405, "Method Not Allowed", { allow: error.allowed.join(", ") });
  }
  if (error instanceof BodyTooLargeError) return answer(413, error.message);
  if (error instanceof UnauthorizedError) {
    return answer(401, error.message, { "www-authenticate": error.challenge });
  }
  if (error instanceof ForbiddenError || error instanceof ForeignPageError) return answer(403, error.message);
  if (error instanceof RateLimitedError) {
    return answer(429, error.message, { "retry-after": retryAfterSeconds(error) });
  }
  if (error instanceof OverloadedError || error instanceof StoreUnavailableError) {
    return answer(503, error.message, { "retry-after": retryAfterSeconds(error) });
  }
  return answer(500, "Internal server error");
}

function answer(
  status: number,
  detail: string | readonly Fault[],
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify({ detail }), { status, headers: { ...JSON_HEADERS, ...headers } });
}

function fault(loc: readonly (string | number)[], type: string, msg: string): Fault {
  return { type, loc, msg, input: null };
}

/** The engine's fields in WhatsNext's words. */
const FIELD_NAMES: Readonly<Record<string, string>> = {
  projectId: "project_id",
  taskId: "task_id",
  commandTemplate: "command_template",
  dependsOn: "depends",
};

/** `jobs[3].depends: no job has the id 77`. */
function sentence({ path, message }: InputIssue): string {
  let place = "";
  for (const step of path) {
    if (typeof step === "number") place += place === "" ? "" : `[${step}]`;
    else place += `${place === "" ? "" : "."}${FIELD_NAMES[step] ?? step}`;
    // `depends` is a map: a place in the engine's list of ids says nothing.
    if (step === "dependsOn") break;
  }
  return place === "" ? message : `${place}: ${message}`;
}
