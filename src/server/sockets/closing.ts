/** With which code and words a WebSocket is closed for an error. */
import {
  ForbiddenError,
  InvalidRequestError,
  RateLimitedError,
  UnauthorizedError,
} from "../../dialects/requestErrors.ts";
import { CLOSE } from "../../dialects/socket.ts";
import {
  InvalidInputError,
  NotFoundError,
  OverloadedError,
  StoreUnavailableError,
} from "../../domain/errors.ts";
import type { Refusal } from "./connection.ts";

/** Null for an error that is the server's own fault. */
export function closingFor(error: unknown): Refusal | null {
  if (error instanceof UnauthorizedError) return { code: CLOSE.unauthorized, reason: error.message };
  if (error instanceof ForbiddenError) {
    // A key that nobody knows is as bad as none; 4403 is for those that are known.
    const code = error.role === null ? CLOSE.unauthorized : CLOSE.forbidden;
    return { code, reason: error.message };
  }
  if (error instanceof RateLimitedError) return { code: CLOSE.rateLimited, reason: error.message };
  if (error instanceof NotFoundError) return { code: CLOSE.notFound, reason: error.message };
  if (error instanceof InvalidRequestError) {
    const [issue] = error.issues;
    const reason = issue === undefined ? error.message : `${issue.path.join(".")}: ${issue.message}`;
    return { code: CLOSE.badRequest, reason };
  }
  if (error instanceof InvalidInputError) return { code: CLOSE.badRequest, reason: error.message };
  if (error instanceof OverloadedError || error instanceof StoreUnavailableError) {
    return { code: CLOSE.unavailable, reason: error.message };
  }
  return null;
}
