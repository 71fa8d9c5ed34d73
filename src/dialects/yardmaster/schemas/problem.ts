/** The schema of an error's body, RFC 9457. */
import { z } from "zod";
import type { ResponseDescription } from "../../route.ts";

export const problem = z
  .object({
    type: z.string().meta({ example: "urn:yardmaster:problem:invalid" }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z
      .array(
        z.object({
          path: z.string().meta({
            description:
              "Where: a JSON pointer into the body (`/spec/argv`), `?name` of the query, `{name}` of the path, `name:` of a header.",
          }),
          message: z.string(),
        }),
      )
      .optional(),
  })
  .meta({ id: "Problem", description: "RFC 9457 problem details." });

const DESCRIPTIONS = {
  401: "a key is required",
  403: "the key is not known, or its role does not allow this",
  429: "too many requests; try again after `Retry-After` seconds",
  404: "nothing has that id",
  409: "the state of the thing forbids it",
  413: "the body is too large",
  415: "the body is not JSON",
  416: "the range is not in the artifact",
  422: "the request is wrong; `errors` says where and what is allowed",
  503: "overloaded, or the store cannot be used now; nothing was done, try again after `Retry-After` seconds",
} as const;

/** Descriptions of errors, to be spread into a route's `responses`. */
export function problems(...statuses: (keyof typeof DESCRIPTIONS)[]): Record<number, ResponseDescription> {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: DESCRIPTIONS[status], schema: problem, contentType: "application/problem+json" },
    ]),
  );
}
