/**
 * A formatter turns a job's task and parameters into a command, and runs it. Extend it for commands of your own:
 *
 * ```ts
 * class EchoFormatter extends Formatter {
 *   override format(task: string, parameters: JsonObject): string[] {
 *     return ["echo", task, JSON.stringify(parameters)];
 *   }
 * }
 * ```
 */
import type { JsonObject } from "../types.ts";
import { runProcess } from "./process.ts";

export interface FormatterOptions {
  /** Where commands run; default the worker's own folder. */
  workingDir?: string | undefined;
  /** Variables for commands, besides the worker's own. */
  environment?: Readonly<Record<string, string>> | undefined;
  /** A command that runs longer is ended, and its job fails; absent sets no limit. */
  timeoutMs?: number | undefined;
  /** Between SIGTERM and SIGKILL when a command is ended; default 5,000. */
  killGraceMs?: number | undefined;
  /** Whether commands write to the worker's stdout and stderr; default `inherit`. */
  output?: "inherit" | "ignore" | undefined;
}

export interface ExecuteOptions {
  /** Ends the command with all its processes. */
  signal?: AbortSignal | undefined;
}

export abstract class Formatter {
  readonly #options: FormatterOptions;

  constructor(options: FormatterOptions = {}) {
    this.#options = options;
  }

  /**
   * The command for a job: the program, then its arguments, each one exactly as the program receives it.
   *
   * @throws {FormatError} when the parameters cannot be written as a command
   */
  abstract format(task: string, parameters: JsonObject): string[];

  /**
   * Runs a command to its end; in Bun and Node only. Resolves to its exit code, 128 + the signal's number when a
   * signal ended it. Rejects when it cannot be started, ran too long, or was aborted.
   */
  execute(argv: readonly string[], options: ExecuteOptions = {}): Promise<number> {
    return runProcess(argv, { ...this.#options, signal: options.signal });
  }
}
