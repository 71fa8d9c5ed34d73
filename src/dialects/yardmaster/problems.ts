/** How the native API words errors: RFC 9457 problem details. */
import {
  ConflictError,
  type InputIssue,
  InvalidInputError,
  NotFoundError,
  OverloadedError,
  StoreUnavailableError,
} from "../../domain/errors.ts";
import {
  BodyTooLargeError,
  ForbiddenError,
  ForeignPageError,
  InvalidRequestError,
  MalformedBodyError,
  MethodNotAllowedError,
  PathNotFoundError,
  RateLimitedError,
  type RequestIssue,
  retryAfterSeconds,
  UnauthorizedError,
  UnsupportedMediaTypeError,
} from "../requestErrors.ts";

interface Told {
  readonly path: string;
  readonly message: string;
}

const PROBLEM_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "application/problem+json",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

/** Turns any error into the native API's answer; what it does not know becomes a 500 that tells nothing. */
export function problemOf(error: unknown): Response {
  if (error instanceof InvalidRequestError) return invalid(error.issues.map(tellRequestIssue));
  if (error instanceof InvalidInputError) return invalid(error.issues.map(tellInputIssue));
  if (error instanceof MalformedBodyError) return invalid([{ path: "", message: error.message }]);
  if (error instanceof NotFoundError) return problem(404, "not-found", "Not found", error.message);
  if (error instanceof PathNotFoundError) return problem(404, "no-such-path", "Not found", error.message);
  if (error instanceof ConflictError) return problem(409, "conflict", "Conflict", conflictDetail(error));
  if (error instanceof MethodNotAllowedError) {
    const allow = error.allowed.join(", ");
    return problem(405, "method-not-allowed", "Method not allowed", error.message, { allow });
  }
  if (error instanceof BodyTooLargeError) {
    return problem(413, "too-large", "Content too large", error.message);
  }
  if (error instanceof UnsupportedMediaTypeError) {
    return problem(415, "unsupported-media-type", "Unsupported media type", error.message);
  }
  if (error instanceof UnauthorizedError) {
    const headers = { "www-authenticate": error.challenge };
    return problem(401, "unauthorized", "Unauthorized", error.message, headers);
  }
  if (error instanceof ForbiddenError || error instanceof ForeignPageError) {
    return problem(403, "forbidden", "Forbidden", error.message);
  }
  if (error instanceof RateLimitedError) {
    const headers = { "retry-after": retryAfterSeconds(error) };
    return problem(429, "rate-limited", "Too many requests", error.message, headers);
  }
  if (error instanceof OverloadedError || error instanceof StoreUnavailableError) {
    const title = error instanceof OverloadedError ? "Overloaded" : "Store unavailable";
    const type = error instanceof OverloadedError ? "overloaded" : "store-unavailable";
    return problem(503, type, title, error.message, { "retry-after": retryAfterSeconds(error) });
  }
  return problem(
    500,
    "internal",
    "Internal error",
    "something went wrong in the server; its log has the cause",
  );
}

function invalid(errors: readonly Told[]): Response {
  const first = errors[0];
  const place = first === undefined || first.path === "" ? "" : `${first.path.replace(/:$/, "")}: `;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
  const detail = first === undefined ? "the request is invalid" : `${place}${first.message}${more}`;
  return problem(422, "invalid", "Invalid request", detail, {}, errors);
}

function conflictDetail(error: ConflictError): string {
  if (error.allowed.length === 0) return error.message;
  return `${error.message} (allowed: ${error.allowed.join(", ")})`;
}

/**
 * One problem details answer.
 *
 * @param type the last part of the problem's URN
 * @param headers beside the content type
 */
export function problem(
  status: number,
  type: string,
  title: string,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
  errors?: readonly Told[],
): Response {
  const body = {
    type: `urn:yardmaster:problem:${type}`,
    title,
    status,
    detail,
    ...(errors === undefined ? {} : { errors }),
  };
  return new Response(JSON.stringify(body), { status, headers: { ...PROBLEM_HEADERS, ...headers } });
}

function tellRequestIssue(issue: RequestIssue): Told {
  const name = issue.path.join(".");
  switch (issue.part) {
    case "body":
      return tellInputIssue(issue);
    case "query":
      return { path: `?${issue.path[0] ?? ""}`, message: issue.message };
    case "path":
      return { path: `{${name}}`, message: issue.message };
    case "header":
      return { path: `${name}:`, message: issue.message };
  }
}

function tellInputIssue(issue: InputIssue): Told {
  return { path: issue.path.map((step) => `/${pointerStep(step)}`).join(""), message: issue.message };
}

/** RFC 6901: `~` and `/` are escaped in a step. */
function pointerStep(step: string | number): string {
  return String(step).slice(0, 200).replaceAll("~", "~0").replaceAll("/", "~1");
}
