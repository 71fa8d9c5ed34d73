/** How Executr words errors: `{"error": sentence, "context": {…}}`. */
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
import { AbsentError, type ErrorContext, RefusedError } from "./refusals.ts";

/** Turns any error into Executr's answer; what it does not know becomes a 500 that tells nothing. */
export function errorAnswer(error: unknown): Response {
  if (error instanceof RefusedError) return answer(400, error.message, error.context);
  if (error instanceof AbsentError) return answer(404, error.detail, error.context);
  if (error instanceof InvalidRequestError || error instanceof InvalidInputError) {
    return answer(400, sentencesOf(error.issues), contextOf(error.issues));
  }
  if (error instanceof MalformedBodyError) return answer(400, error.message, { field: "body" });
  if (error instanceof ConflictError) {
    return answer(400, error.message, error.state === null ? {} : { state: error.state });
  }
  if (error instanceof NotFoundError)
    return answer(404, error.message, { [`${error.entity}_id`]: error.ref });
  if (error instanceof PathNotFoundError) {
    return answer(404, error.message, { path: error.path.slice(0, MAX_TOLD) });
  }
  if (error instanceof MethodNotAllowedError) {
    const allow = error.allowed.join(", ");
    return answer(405, error.message, { method: error.method, allowed: error.allowed }, { allow });
  }
  if (error instanceof BodyTooLargeError) return answer(413, error.message, { max_bytes: error.maxBytes });
  if (error instanceof UnsupportedMediaTypeError) {
    // Its programs know refusals as 400 and 404 alone.
    return answer(400, error.message, { field: "body", accepted: error.accepted });
  }
  if (error instanceof UnauthorizedError) {
    return answer(401, error.message, {}, { "www-authenticate": error.challenge });
  }
  if (error instanceof ForbiddenError || error instanceof ForeignPageError) {
    return answer(403, error.message, {});
  }
  if (error instanceof RateLimitedError) return later(429, error);
  if (error instanceof OverloadedError || error instanceof StoreUnavailableError) return later(503, error);
  return answer(500, "internal server error", {});
}

const MAX_TOLD = 200;

function later(status: number, error: Error & { readonly retryAfterMs: number }): Response {
  const seconds = retryAfterSeconds(error);
  return answer(status, error.message, { retry_after_seconds: Number(seconds) }, { "retry-after": seconds });
}

function answer(
  status: number,
  error: string,
  context: ErrorContext,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify({ error, context }), {
    status,
    headers: { ...JSON_HEADERS, ...headers },
  });
}

/** `binary_url: required: expected string; priority: …`. */
export function sentencesOf(issues: readonly InputIssue[]): string {
  return issues.map(({ path, message }) => `${placeOf(path)}${message}`).join("; ");
}

function placeOf(path: InputIssue["path"]): string {
  let place = "";
  for (const step of path) {
    if (typeof step === "number") place += `[${step}]`;
    else place += `${place === "" ? "" : "."}${step.slice(0, MAX_TOLD)}`;
  }
  return place === "" ? "" : `${place}: `;
}

/** The field of the first fault, and its place in a bulk submission. */
function contextOf(issues: readonly InputIssue[]): ErrorContext {
  const [first] = issues;
  if (first === undefined) return {};
  const [head, ...rest] = first.path;
  const index = typeof head === "number" ? head : null;
  const [field] = index === null ? first.path : rest;
  return {
    ...(index === null ? {} : { index }),
    ...(typeof field === "string" ? { field: field.slice(0, MAX_TOLD) } : {}),
    ...(index === null && field === undefined ? { field: "body" } : {}),
  };
}
