/**
 * The seam above the engine: one HTTP API, as data. A dialect says which paths it has, what their requests
 * and answers look like, and how it words an error; the server does the rest (routing, reading and checking
 * bodies, 405 with `Allow`, limits, the OpenAPI document).
 *
 * A dialect holds no rules of its own about jobs: those live in the engine, once for all APIs.
 */
import type { z } from "zod";
import type { DialectName } from "../domain/job.ts";
import type { Route } from "./route.ts";
import type { SocketRoute } from "./socket.ts";

/** One request of a dialect and how it was answered. */
export interface AnsweredRequest {
  /** As it came: any text. */
  readonly method: string;
  /** The route's path with its placeholders; null when no route took the request. */
  readonly pattern: string | null;
  readonly status: number;
  readonly seconds: number;
}

export interface Dialect {
  readonly name: DialectName;
  /** What the OpenAPI document says of this API as a whole. */
  readonly title: string;
  readonly description: string;
  /**
   * Beginnings of paths (`"/v1/"`) whose errors this dialect words when no route matched. The longest one
   * that fits wins over all dialects; `"/"` takes what nobody else claims.
   */
  readonly prefixes: readonly string[];
  readonly routes: readonly Route[];
  /** WebSockets; absent is none. */
  readonly sockets?: readonly SocketRoute[];
  /** Named schemas that the OpenAPI document needs beyond those the routes name themselves. */
  readonly schemas: Readonly<Record<string, z.ZodType>>;
  /** Ends what it does beside requests; called when the server closes, before the engine does. Absent is nothing. */
  close?(): void;
  /**
   * Words any error: those of `requestErrors.ts` and `domain/errors.ts` by what they say, every other as
   * the API's "internal error", without a word of what happened inside.
   */
  errors(error: unknown): Response;
  /** Told of every answer, for dialects with figures of their own; cheap, and it never throws. */
  observe?(answered: AnsweredRequest): void;
}
