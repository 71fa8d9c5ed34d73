/**
 * What can be wrong with a request before any rule about jobs is asked. Like the domain's errors they are
 * values; each dialect words them in its own form.
 */
import type { InputIssue } from "../domain/errors.ts";
import type { KeyRole } from "./route.ts";

/** No API of this server has that path. */
export class PathNotFoundError extends Error {
  override readonly name = "PathNotFoundError";
  readonly path: string;
  constructor(path: string) {
    super(`nothing is at ${JSON.stringify(path.slice(0, 200))}`);
    this.path = path;
  }
}

/** The path exists, but not for this method. */
export class MethodNotAllowedError extends Error {
  override readonly name = "MethodNotAllowedError";
  readonly method: string;
  /** The methods that are served there, for the `Allow` header. */
  readonly allowed: readonly string[];
  constructor(method: string, allowed: readonly string[]) {
    super(`${method} is not allowed here; allowed: ${allowed.join(", ")}`);
    this.method = method;
    this.allowed = allowed;
  }
}

/** The body is longer than the route takes. */
export class BodyTooLargeError extends Error {
  override readonly name = "BodyTooLargeError";
  readonly maxBytes: number;
  constructor(maxBytes: number) {
    super(`the body is larger than ${maxBytes} bytes`);
    this.maxBytes = maxBytes;
  }
}

/** The body is of a type that the route does not read. */
export class UnsupportedMediaTypeError extends Error {
  override readonly name = "UnsupportedMediaTypeError";
  readonly received: string;
  readonly accepted: string;
  constructor(received: string, accepted: string) {
    super(`the body is ${JSON.stringify(received.slice(0, 200))}; send ${accepted}`);
    this.received = received;
    this.accepted = accepted;
  }
}

/** Where in a request something stands. */
export type RequestPart = "body" | "query" | "path" | "header";

/** One thing wrong with a request; `path` walks into the part. */
export interface RequestIssue extends InputIssue {
  readonly part: RequestPart;
}

/** The request does not have the form that the route asks for. */
export class InvalidRequestError extends Error {
  override readonly name = "InvalidRequestError";
  readonly issues: readonly RequestIssue[];
  constructor(issues: readonly RequestIssue[]) {
    super(issues.map((issue) => issue.message).join("; "));
    this.issues = issues;
  }
}

/** The body could not be read as JSON at all. */
export class MalformedBodyError extends Error {
  override readonly name = "MalformedBodyError";
}

/** The server asks for a key, and the request has none that can be read, or a token that is not good. */
export class UnauthorizedError extends Error {
  override readonly name = "UnauthorizedError";
  /** For the header `WWW-Authenticate`. */
  readonly challenge: string;
  /** @param message absent: that there is no key at all */
  constructor(challenge: string, message?: string) {
    super(
      message ??
        "an API key is required: send it as X-API-Key, as Authorization: Bearer, or as the password of HTTP Basic",
    );
    this.challenge = challenge;
  }
}

/** The key is not known, or its role does not reach as far as this route. */
export class ForbiddenError extends Error {
  override readonly name = "ForbiddenError";
  /** The key's role; null when the key is not known. */
  readonly role: KeyRole | null;
  /** The roles that may; empty when the key is not known. */
  readonly allowed: readonly KeyRole[];
  /** @param message absent: what the other two say */
  constructor(role: KeyRole | null, allowed: readonly KeyRole[], message?: string) {
    super(
      message ??
        (role === null
          ? "the API key is not known here, or was revoked"
          : `the role of this API key is ${role}; this needs ${allowed.join(" or ")}`),
    );
    this.role = role;
    this.allowed = allowed;
  }
}

/** A page of another site sent the request through somebody's browser. */
export class ForeignPageError extends Error {
  override readonly name = "ForeignPageError";
  readonly origin: string;
  constructor(origin: string) {
    super(
      `pages of ${JSON.stringify(origin.slice(0, 200))} may not send this; --cors-origin would allow them`,
    );
    this.origin = origin;
  }
}

/** The caller has used up its requests for now. */
export class RateLimitedError extends Error {
  override readonly name = "RateLimitedError";
  readonly limitPerMinute: number;
  /** When the next request will be taken. */
  readonly retryAfterMs: number;
  constructor(limitPerMinute: number, retryAfterMs: number) {
    super(`more than ${limitPerMinute} requests in a minute; try again later`);
    this.limitPerMinute = limitPerMinute;
    this.retryAfterMs = retryAfterMs;
  }
}

/** For the header `Retry-After`: whole seconds, at least one. */
export function retryAfterSeconds(error: { readonly retryAfterMs: number }): string {
  return String(Math.max(1, Math.ceil(error.retryAfterMs / 1_000)));
}

export type RequestError =
  | UnauthorizedError
  | ForbiddenError
  | ForeignPageError
  | RateLimitedError
  | PathNotFoundError
  | MethodNotAllowedError
  | BodyTooLargeError
  | UnsupportedMediaTypeError
  | InvalidRequestError
  | MalformedBodyError;

/** Says whether an error is the client's doing. */
export function isRequestError(error: unknown): error is RequestError {
  return (
    error instanceof InvalidRequestError ||
    error instanceof MalformedBodyError ||
    error instanceof PathNotFoundError ||
    error instanceof MethodNotAllowedError ||
    error instanceof BodyTooLargeError ||
    error instanceof UnsupportedMediaTypeError ||
    error instanceof UnauthorizedError ||
    error instanceof ForbiddenError ||
    error instanceof ForeignPageError ||
    error instanceof RateLimitedError
  );
}
