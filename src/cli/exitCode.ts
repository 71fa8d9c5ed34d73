/** How the command ends, as numbers. `submit` ends with the exit code of its job instead. */
export const EXIT = {
  ok: 0,
  /** The server refused, the job failed without an exit code, a check failed, the server could not start. */
  failed: 1,
  /** A flag, an argument, a variable or the configuration file is wrong. */
  usage: 2,
  /** The server could not be reached (EX_UNAVAILABLE of sysexits.h). */
  unreachable: 69,
  /** A mistake in Yardmaster itself (EX_SOFTWARE). */
  internal: 70,
  /** Said by the agent of `up` to it: no agent runs here with these settings (EX_CONFIG). */
  unfit: 78,
  /** Interrupted, or the job was cancelled: 128 + SIGINT. */
  interrupted: 130,
  /** Whoever read the output went away: 128 + SIGPIPE. */
  brokenPipe: 141,
} as const;

/** The command ends with this code; `message`, when there is one, goes to stderr. */
export class ExitError extends Error {
  override readonly name = "ExitError";
  readonly exitCode: number;
  constructor(exitCode: number, message = "") {
    super(message);
    this.exitCode = exitCode;
  }
}
