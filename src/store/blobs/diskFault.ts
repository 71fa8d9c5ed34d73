/** Faults of the disk that blobs go to, in words. */
import { StoreUnavailableError } from "../../domain/errors.ts";

/** Those that pass: the request can be sent again. */
const PASSING = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO", "EACCES", "EPERM", "EMFILE", "ENFILE", "EFBIG"]);

/** The code of a system error; empty for anything else. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** A StoreUnavailableError for a fault of the disk; any other error as it is. */
export function diskFault(error: unknown): unknown {
  const code = codeOf(error);
  if (!PASSING.has(code)) return error;
  const reason = code === "ENOSPC" || code === "EDQUOT" ? "its disk is full" : `its disk answers ${code}`;
  return new StoreUnavailableError(`the artifact store cannot be used now: ${reason}`, 5_000);
}
