/** What the ShelbyCompute API refuses, as one named class. */
import { AnswerError, retryAfterMs } from "../errors.ts";

export { ConnectionError, WaitTimeoutError } from "../errors.ts";

/** The server answered with an error status, or closed a live stream with a reason: `status` and its `detail`. */
export class ShelbyError extends AnswerError {
  override readonly name = "ShelbyError";
  /** The server's words; null when the answer held none (a proxy's page, say). */
  readonly detail: string | null;

  constructor(request: string, status: number, detail: string | null, retryAfterMs: number | null = null) {
    super(`${request}: ${detail ?? "the server answered"} (${status})`, status, retryAfterMs);
    this.detail = detail;
  }
}

/** Reads the error out of an answer that is not a success. Never throws for what the body holds. */
export async function shelbyErrorFrom(request: string, response: Response): Promise<ShelbyError> {
  let detail: string | null = null;
  try {
    const body: unknown = JSON.parse(await response.text());
    if (typeof body === "object" && body !== null && "detail" in body) detail = textOf(body.detail);
  } catch {
    // No JSON: the status has to do.
  }
  return new ShelbyError(request, response.status, detail, retryAfterMs(response.headers));
}

/** A sentence, or a list of faults each with its place. */
function textOf(detail: unknown): string | null {
  if (typeof detail === "string") return detail;
  if (!Array.isArray(detail)) return null;
  const faults = detail.flatMap((fault: unknown) => {
    if (typeof fault !== "object" || fault === null || !("msg" in fault)) return [];
    const place = "loc" in fault && Array.isArray(fault.loc) ? fault.loc.join(".") : "";
    return [place === "" ? String(fault.msg) : `${place}: ${String(fault.msg)}`];
  });
  return faults.length === 0 ? null : faults.join("; ");
}
