/** What can go wrong with a request, as two classes: the server said no, or it could not be reached. */
import type { Problem } from "./types.ts";

/** The server answered with an error status; each API has a class of its own for what its answers hold. */
export abstract class AnswerError extends Error {
  /** HTTP status, 400 to 599. */
  readonly status: number;
  /** How long the server asks to wait before the next try; null when it did not say. */
  readonly retryAfterMs: number | null;

  constructor(message: string, status: number, retryAfterMs: number | null) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The server answered with an error. `problem` holds its RFC 9457 details where it sent some; the message
 * names every field that was refused.
 */
export class YardmasterError extends AnswerError {
  override readonly name = "YardmasterError";
  readonly problem: Problem | null;

  constructor(request: string, status: number, problem: Problem | null, retryAfterMs: number | null) {
    super(`${request}: ${describe(status, problem)}`, status, retryAfterMs);
    this.problem = problem;
  }
}

/** No answer came: the server is away, the connection broke, or the time limit passed. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** `wait` was given a time limit and the job was not final when it passed. */
export class WaitTimeoutError extends Error {
  override readonly name = "WaitTimeoutError";
}

function describe(status: number, problem: Problem | null): string {
  if (problem === null) return `the server answered ${status}`;
  const fields = (problem.errors ?? []).map((issue) => `${issue.path}: ${issue.message}`);
  const detail = problem.detail || problem.title || `the server answered ${status}`;
  // A detail that tells the first fault already is not followed by the same words again.
  const isTold = problem.errors?.[0] !== undefined && detail.includes(problem.errors[0].message);
  const rest = isTold ? fields.slice(1) : fields;
  return rest.length === 0 ? `${detail} (${status})` : `${detail} (${status}): ${rest.join("; ")}`;
}

/** Reads the error out of an answer that is not a success. Never throws for what the body holds. */
export async function errorFrom(request: string, response: Response): Promise<YardmasterError> {
  let problem: Problem | null = null;
  try {
    const body: unknown = JSON.parse(await response.text());
    problem = asProblem(body, response.status);
  } catch {
    // No JSON (a proxy's page, say): the status has to do.
  }
  return new YardmasterError(request, response.status, problem, retryAfterMs(response.headers));
}

function asProblem(body: unknown, status: number): Problem | null {
  if (typeof body !== "object" || body === null) return null;
  const text = (key: string): string => {
    const value = Object.getOwnPropertyDescriptor(body, key)?.value;
    return typeof value === "string" ? value : "";
  };
  const problem: Problem = {
    type: text("type") || "about:blank",
    title: text("title"),
    status,
    detail: text("detail"),
  };
  const issues: unknown = Object.getOwnPropertyDescriptor(body, "errors")?.value;
  if (Array.isArray(issues)) problem.errors = issues.filter(isIssue);
  return problem;
}

function isIssue(value: unknown): value is { path: string; message: string } {
  if (typeof value !== "object" || value === null) return false;
  return (
    "path" in value &&
    typeof value.path === "string" &&
    "message" in value &&
    typeof value.message === "string"
  );
}

/** `Retry-After` in either of its forms (RFC 9110, 10.2.3): seconds, or a date. */
export function retryAfterMs(headers: Headers, nowMs: number = Date.now()): number | null {
  const value = headers.get("Retry-After");
  if (value === null) return null;
  if (/^\d+(\.\d+)?$/.test(value.trim())) return Math.round(Number(value) * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}
