/** What the WhatsNext API and this library refuse, as named classes. */
import { AnswerError, retryAfterMs } from "../errors.ts";

export { ConnectionError } from "../errors.ts";

/** One refused field of a 422 answer. */
export interface ValidationIssue {
  /** Where: `body`, `query` or `path`, then the way down to the field. */
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly type: string;
}

/** The server answered with an error status: `status`, its `detail`, and `retryAfterMs` where it asks for a pause. */
export class HttpError extends AnswerError {
  override readonly name = "HttpError";
  /** The answer's `detail`: a sentence, or the refused fields; null when the answer held none. */
  readonly detail: string | readonly ValidationIssue[] | null;

  constructor(request: string, status: number, detail: HttpError["detail"], retryAfterMs: number | null) {
    super(`${request}: ${wording(detail)} (${status})`, status, retryAfterMs);
    this.detail = detail;
  }
}

/** There is no job to take: the queue is empty, or nothing in it may run here now. */
export class EmptyQueueError extends Error {
  override readonly name = "EmptyQueueError";
}

/** A job's parameters cannot be written as a command; the message names the parameter and what is allowed. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

/** Reads the error out of an answer that is not a success. Never throws for what the body holds. */
export async function httpErrorFrom(request: string, response: Response): Promise<HttpError> {
  let detail: HttpError["detail"] = null;
  try {
    const body: unknown = JSON.parse(await response.text());
    if (typeof body === "object" && body !== null && "detail" in body) detail = asDetail(body.detail);
  } catch {
    // No JSON (a proxy's page, say): the status has to do.
  }
  return new HttpError(request, response.status, detail, retryAfterMs(response.headers));
}

function asDetail(detail: unknown): HttpError["detail"] {
  if (typeof detail === "string") return detail;
  return Array.isArray(detail) ? detail.filter(isIssue) : null;
}

function isIssue(value: unknown): value is ValidationIssue {
  if (typeof value !== "object" || value === null) return false;
  return "loc" in value && Array.isArray(value.loc) && "msg" in value && typeof value.msg === "string";
}

function wording(detail: HttpError["detail"]): string {
  if (detail === null) return "the server refused";
  if (typeof detail === "string") return detail;
  return detail.map((issue) => `${issue.loc.join(".")}: ${issue.msg}`).join("; ");
}
