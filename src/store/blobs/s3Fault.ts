/** What an S3 service's refusals and silences mean, in words. */
import { StoreUnavailableError } from "../../domain/errors.ts";

/** The service cannot be used as the settings say; the message is for the person who starts the server. */
export class BlobPlaceError extends Error {
  override readonly name = "BlobPlaceError";
}

/** One request failed. */
export class S3Fault extends Error {
  override readonly name = "S3Fault";
  /** `NoSuchBucket`, `AccessDenied` and so on; empty when no answer came. */
  readonly code: string;
  /** Whether the same request may succeed when it is sent again. */
  readonly isPassing: boolean;

  constructor(message: string, code: string, isPassing: boolean) {
    super(message);
    this.code = code;
    this.isPassing = isPassing;
  }
}

const PASSING_CODES = new Set(["SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Busy"]);
const PASSING_STATUS = new Set([408, 429]);
/** Requests may be sent again after so long. */
const RETRY_AFTER_MS = 5_000;
const RETRY_REFUSED_AFTER_MS = 60_000;

/** The fault that an answer tells of; `code` is the service's own, where its body held one. */
export function faultOfAnswer(status: number, code: string, bucket: string): S3Fault {
  const isPassing = status >= 500 || PASSING_STATUS.has(status) || PASSING_CODES.has(code);
  return new S3Fault(reasonOf(status, code, bucket), code === "" ? String(status) : code, isPassing);
}

/** The fault of a request that no answer came to. */
export function faultOfSilence(error: unknown): S3Fault {
  const name = error instanceof Error ? error.name : "";
  const code = error instanceof Error && "code" in error ? String(error.code) : name;
  return new S3Fault(reasonOfSilence(code, name), "", true);
}

/** What a request of a client ends with: 503, and when to try again. */
export function unavailable(fault: S3Fault): StoreUnavailableError {
  const retryAfterMs = fault.isPassing ? RETRY_AFTER_MS : RETRY_REFUSED_AFTER_MS;
  return new StoreUnavailableError(`the artifact store cannot be used now: ${fault.message}`, retryAfterMs);
}

function reasonOf(status: number, code: string, bucket: string): string {
  switch (code) {
    case "NoSuchBucket":
      return `the service has no bucket ${JSON.stringify(bucket)}`;
    case "InvalidAccessKeyId":
      return "the service does not know the access key";
    case "SignatureDoesNotMatch":
      return "the secret access key is not the one of the access key";
    case "ExpiredToken":
    case "InvalidToken":
      return "the session token is not valid, or not any more";
    case "RequestTimeTooSkewed":
      return "the clocks of this machine and of the service differ too much";
    case "PermanentRedirect":
    case "TemporaryRedirect":
    case "AuthorizationHeaderMalformed":
    case "AuthorizationQueryParametersError":
      return `the bucket ${JSON.stringify(bucket)} is in another region or at another endpoint`;
    case "SlowDown":
    case "ServiceUnavailable":
      return "the service has too much to do";
  }
  if (status === 403) return `the key may not do this in the bucket ${JSON.stringify(bucket)}`;
  if (status >= 300 && status < 400) return "the service answers with a redirection: is that its endpoint?";
  return `the service answers ${status}${code === "" ? "" : ` ${code}`}`;
}

function reasonOfSilence(code: string, name: string): string {
  if (name === "TimeoutError") return "the service does not answer in time";
  switch (code) {
    case "ConnectionRefused":
    case "ECONNREFUSED":
      return "nothing answers at its address";
    case "FailedToOpenSocket":
    case "ENOTFOUND":
      return "its address cannot be reached";
    case "ConnectionClosed":
    case "ECONNRESET":
      return "the connection was cut off";
    default:
      return `no connection (${code === "" ? "unknown reason" : code})`;
  }
}
