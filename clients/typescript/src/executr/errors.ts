/** What the Executr API refuses, as one named class. */
import { AnswerError, retryAfterMs } from "../errors.ts";

export { ConnectionError, WaitTimeoutError } from "../errors.ts";

/** The server answered with an error status: `status`, its `error` and `context`. */
export class ExecutrError extends AnswerError {
  override readonly name = "ExecutrError";
  /** The answer's sentence; null when the answer held none (a proxy's page, say). */
  readonly error: string | null;
  /** What the sentence is about: `field`, `job_id`, `index` and the like; empty when the answer held none. */
  readonly context: Readonly<Record<string, unknown>>;
  /** The whole answer where it was JSON, else null. */
  readonly body: unknown;

  constructor(request: string, status: number, body: unknown, retryAfterMs: number | null) {
    const error = errorOf(body);
    const context = contextOf(body);
    super(`${request}: ${wording(error, status, context)}`, status, retryAfterMs);
    this.error = error;
    this.context = context;
    this.body = body;
  }
}

/** Reads the error out of an answer that is not a success. Never throws for what the body holds. */
export async function executrErrorFrom(request: string, response: Response): Promise<ExecutrError> {
  let body: unknown = null;
  try {
    body = JSON.parse(await response.text());
  } catch {
    // No JSON: the status has to do.
  }
  return new ExecutrError(request, response.status, body, retryAfterMs(response.headers));
}

function errorOf(body: unknown): string | null {
  if (typeof body !== "object" || body === null || !("error" in body)) return null;
  return typeof body.error === "string" && body.error !== "" ? body.error : null;
}

function contextOf(body: unknown): Record<string, unknown> {
  if (typeof body !== "object" || body === null || !("context" in body)) return {};
  const { context } = body;
  return typeof context === "object" && context !== null && !Array.isArray(context) ? { ...context } : {};
}

function wording(error: string | null, status: number, context: Record<string, unknown>): string {
  if (error === null) return `the server answered ${status}`;
  // What the sentence tells already is not told again.
  const rest = Object.entries(context)
    .map(([key, value]) => [key, typeof value === "string" ? value : (JSON.stringify(value) ?? "")] as const)
    .filter(([, text]) => text !== "" && !error.includes(text))
    .map(([key, text]) => `${key}: ${text}`);
  return rest.length === 0 ? `${error} (${status})` : `${error} (${status}; ${rest.join(", ")})`;
}
