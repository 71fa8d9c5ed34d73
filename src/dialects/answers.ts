/** The answers that all dialects give in the same way. Headers are shared objects: nothing is built twice. */

/**
 * Answers are for the one who asked and change from moment to moment, and nobody may take JSON for a page.
 */
export const JSON_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "application/json",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

const OK: ResponseInit = { status: 200, headers: JSON_HEADERS };
const CREATED: ResponseInit = { status: 201, headers: JSON_HEADERS };

/** 200 with a JSON body. */
export function ok(value: unknown): Response {
  return new Response(JSON.stringify(value), OK);
}

/** 201 with a JSON body. */
export function created(value: unknown): Response {
  return new Response(JSON.stringify(value), CREATED);
}

/** 204. */
export function noContent(): Response {
  return new Response(null, { status: 204 });
}
