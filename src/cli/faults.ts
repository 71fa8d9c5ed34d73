/** Errors as a user reads them, and the exit code each ends the command with. */
import { ConnectionError, YardmasterError } from "@yardmaster/client";
import { CommanderError } from "commander";
import { EXIT, ExitError } from "./exitCode.ts";
import { UsageError } from "./usageError.ts";

/** Errors of start-up whose message is written for users: they name what is wrong and what to do. */
const START_UP_ERRORS: readonly string[] = [
  "DataDirError",
  "KeyFileError",
  "PortInUseError",
  "ListenError",
  "StateDirError",
  "IsolationUnavailableError",
  "StoreUnavailableError",
  "BlobPlaceError",
  "MigrationError",
  "StoreRefusedError",
];

/** How a fault ends the command. */
export interface Ending {
  readonly exitCode: number;
  /** Empty when all has been said. */
  readonly message: string;
}

export function isUnreachable(error: unknown): boolean {
  return error instanceof ConnectionError;
}

/** One or two lines about any error, without a stack. */
export function messageOf(error: unknown): string {
  if (error instanceof YardmasterError) {
    // "POST /v1/jobs: detail (422)": users think of jobs, not of requests.
    return error.message.replace(/^[A-Z]+ \S+: /, "");
  }
  return error instanceof Error ? error.message : String(error);
}

export function endingOf(error: unknown, server: string): Ending {
  if (error instanceof ExitError) return { exitCode: error.exitCode, message: error.message };
  if (error instanceof UsageError) return { exitCode: EXIT.usage, message: error.message };
  if (error instanceof CommanderError) {
    // Help that was asked for and the version end with 0; help instead of a missing word does not.
    return { exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage, message: "" };
  }
  if (error instanceof ConnectionError) {
    const message = `cannot reach a server at ${server}; start one with \`yardmaster up\`, or name another with --server`;
    return { exitCode: EXIT.unreachable, message };
  }
  if (error instanceof YardmasterError) {
    const isAboutKey = error.status === 401 || error.status === 403;
    const hint = isAboutKey ? "; this command takes its key from the variable YARDMASTER_API_KEY" : "";
    return { exitCode: EXIT.failed, message: `${messageOf(error)}${hint}` };
  }
  if (error instanceof Error && START_UP_ERRORS.includes(error.name)) {
    return { exitCode: EXIT.failed, message: error.message };
  }
  if (error instanceof Error && "code" in error && typeof error.code === "string") {
    // A system error (ENOSPC, EACCES): its message says what and where.
    return { exitCode: EXIT.failed, message: error.message };
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { exitCode: EXIT.internal, message: `this should not have happened: ${detail}` };
}
