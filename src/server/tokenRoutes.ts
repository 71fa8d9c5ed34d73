/** `POST /v1/tokens`: a short-lived token for an API key. */
import { z } from "zod";
import { created } from "../dialects/answers.ts";
import { ForbiddenError } from "../dialects/requestErrors.ts";
import { defineRoute, type Route } from "../dialects/route.ts";
import { problems } from "../dialects/yardmaster/schemas/problem.ts";
import { KEY_ROLES } from "./access/apiKey.ts";
import { keyOf } from "./access/credentials.ts";
import type { Keys } from "./access/keys.ts";
import type { Tokens } from "./access/tokens.ts";

const DEFAULT_LIFETIME_SECONDS = 3_600;

export interface TokenRoutesOptions {
  readonly keys: Keys;
  readonly tokens: Tokens;
  /** Longest lifetime that can be asked for. */
  readonly maxTokenLifetimeMs: number;
}

const token = z.object({
  token: z
    .string()
    .describe("Send it as `Authorization: Bearer`, or to WebSockets and event streams as `?access_token=`"),
  role: z.enum(KEY_ROLES),
  expiresAt: z.int().describe("Unix seconds, as in the token itself"),
});

/** The route that makes tokens. */
export function tokenRoutes({ keys, tokens, maxTokenLifetimeMs }: TokenRoutesOptions): Route[] {
  const maxSeconds = Math.floor(maxTokenLifetimeMs / 1_000);
  const presetSeconds = Math.min(DEFAULT_LIFETIME_SECONDS, maxSeconds);
  const newToken = z
    .strictObject({
      role: z.enum(KEY_ROLES).nullish().describe("The key's own when absent or null; never above it"),
      expiresInSeconds: z
        .int()
        .min(1)
        .max(maxSeconds, `this server makes tokens for at most ${maxSeconds} seconds`)
        .nullish()
        .describe(`${presetSeconds} when absent or null`),
    })
    .prefault({});
  return [
    defineRoute({
      id: "createToken",
      method: "POST",
      // Every key may: a token reaches no further than its key.
      access: "read",
      path: "/v1/tokens",
      summary: "Make a short-lived token for an API key",
      description:
        "For places where a key should not go, such as a web page. A token ends when its time is over or its key is revoked. A token makes no other tokens.",
      tags: ["access"],
      body: newToken,
      responses: {
        201: { description: "the token, told this once", schema: token },
        ...problems(401, 403, 413, 415, 422, 429),
      },
      handler: async ({ body, request }) => {
        const text = keyOf(request.headers);
        const key = text === null ? null : keys.find(text);
        if (key === null && (keys.isRequired || tokens.isRequired)) {
          throw new ForbiddenError(null, [], "a token makes no other tokens: send an API key");
        }
        const role = body.role ?? key?.role ?? "admin";
        const made = await tokens.issue(key, role, body.expiresInSeconds ?? presetSeconds);
        return created({ ...made, expiresAt: Math.floor(made.expiresAt / 1_000) });
      },
    }),
  ];
}
