/** How FastAPI words errors: `{"detail": …}`, a sentence or, for 422, a list of faults. */
import {
  ConflictError,
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
import { type Fault, ValidationError } from "./validation.ts";

/**
 * Turns any error into FastAPI's answer; what it does not know becomes a 500 that tells nothing. What a dialect
 * says in sentences of its own (what is absent, what the engine refuses) it answers itself, before it comes here.
 */
export function fastApiError(error: unknown): Response {
  if (error instanceof ValidationError) return detailAnswer(422, error.faults);
  if (error instanceof InvalidRequestError) {
    return detailAnswer(
      422,
      error.issues.map(({ part, path, message }) => fault([part, ...path], "value_error", message)),
    );
  }
  if (error instanceof MalformedBodyError) {
    return detailAnswer(422, [fault(["body"], "value_error.jsondecode", error.message)]);
  }
  if (error instanceof UnsupportedMediaTypeError) {
    // FastAPI reads no JSON from a body of another type, and then finds no object in it.
    return detailAnswer(422, [fault(["body"], "type_error.dict", error.message)]);
  }
  if (error instanceof InvalidInputError) return detailAnswer(400, error.message);
  if (error instanceof ConflictError) return detailAnswer(400, error.message);
  if (error instanceof PathNotFoundError || error instanceof NotFoundError) {
    return detailAnswer(404, "Not Found");
  }
  if (error instanceof MethodNotAllowedError) {
    return detailAnswer(405, "Method Not Allowed", { allow: error.allowed.join(", ") });
  }
  if (error instanceof BodyTooLargeError) return detailAnswer(413, error.message);
  if (error instanceof UnauthorizedError) {
    return detailAnswer(401, error.message, { "www-authenticate": error.challenge });
  }
  if (error instanceof ForbiddenError || error instanceof ForeignPageError) {
    return detailAnswer(403, error.message);
  }
  if (error instanceof RateLimitedError) {
    return detailAnswer(429, error.message, { "retry-after": retryAfterSeconds(error) });
  }
  if (error instanceof OverloadedError || error instanceof StoreUnavailableError) {
    return detailAnswer(503, error.message, { "retry-after": retryAfterSeconds(error) });
  }
  return detailAnswer(500, "Internal server error");
}

/** An answer that says `{"detail": …}`. */
export function detailAnswer(
  status: number,
  detail: string | readonly Fault[],
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify({ detail }), { status, headers: { ...JSON_HEADERS, ...headers } });
}

function fault(loc: readonly (string | number)[], type: string, msg: string): Fault {
  return { type, loc, msg, input: null };
}
