/**
 * Runs jobs as commands of this machine: `executable script --key value …`.
 *
 * ```ts
 * new CLIFormatter({ executable: "python", script: "process.py" }).format("any", { input: "file.csv" });
 * // ["python", "process.py", "--input", "file.csv"]
 * ```
 */
import type { JsonObject } from "../types.ts";
import { commandOptions } from "./commandOptions.ts";
import { Formatter, type FormatterOptions } from "./formatter.ts";

export interface CLIFormatterOptions extends FormatterOptions {
  /** Default `python`. */
  executable?: string | undefined;
  /** First argument; absent has none. */
  script?: string | undefined;
}

export class CLIFormatter extends Formatter {
  readonly #command: readonly string[];

  constructor({ executable = "python", script, ...options }: CLIFormatterOptions = {}) {
    super(options);
    this.#command = script === undefined ? [executable] : [executable, script];
  }

  override format(_task: string, parameters: JsonObject): string[] {
    return [...this.#command, ...commandOptions(parameters)];
  }
}
