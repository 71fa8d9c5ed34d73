/**
 * Hands jobs to Slurm: an `sbatch` call with every option passed on.
 *
 * ```ts
 * new SlurmFormatter({ partition: "gpu", time: "01:00:00", gpus: 1, executable: "python", script: "train.py" });
 * // sbatch --job-name=train --partition=gpu --time=01:00:00 --gpus=1 --wait --wrap 'python train.py --lr 0.01'
 * ```
 */
import type { JsonObject } from "../types.ts";
import { commandOptions } from "./commandOptions.ts";
import { type ExecuteOptions, Formatter, type FormatterOptions } from "./formatter.ts";
import { withScript } from "./scriptFile.ts";
import { fillScript, shellWord } from "./shellText.ts";

export interface SlurmFormatterOptions extends FormatterOptions {
  partition?: string | undefined;
  /** `minutes`, `hours:minutes:seconds` or `days-hours`, as sbatch takes it. */
  time?: string | number | undefined;
  nodes?: string | number | undefined;
  ntasks?: number | undefined;
  cpusPerTask?: number | undefined;
  /** Memory per node: `16G`; a number is in MiB, as sbatch reads it. */
  mem?: string | number | undefined;
  /** Number, or `type:number`. */
  gpus?: string | number | undefined;
  /**
   * Text of a shell script with `{parameter}` places. One that starts with `#!` is given to sbatch as a file, with its
   * `#SBATCH` lines in force; any other is wrapped.
   */
  scriptTemplate?: string | undefined;
  /** Program to run when there is no template; default: the job's task is the program's name. */
  executable?: string | undefined;
  /** The program's first argument. */
  script?: string | undefined;
  /**
   * Whether sbatch stays until the Slurm job has ended and exits as it did, so that a job is `COMPLETED` when its work
   * is done; default true. With false a job is `COMPLETED` as soon as Slurm has queued it.
   */
  wait?: boolean | undefined;
  /** More options for sbatch, as they are: `["--account=team", "--qos=high"]`. */
  extraOptions?: readonly string[] | undefined;
}

const WRAP = "--wrap";

export class SlurmFormatter extends Formatter {
  readonly #options: SlurmFormatterOptions;

  constructor(options: SlurmFormatterOptions = {}) {
    super(options);
    this.#options = options;
  }

  override format(task: string, parameters: JsonObject): string[] {
    const { wait = true, extraOptions = [] } = this.#options;
    const given = [
      ["job-name", task],
      ["partition", this.#options.partition],
      ["time", this.#options.time],
      ["nodes", this.#options.nodes],
      ["ntasks", this.#options.ntasks],
      ["cpus-per-task", this.#options.cpusPerTask],
      ["mem", this.#options.mem],
      ["gpus", this.#options.gpus],
    ].flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));
    const waiting = wait ? ["--wait"] : [];
    return ["sbatch", ...given, ...waiting, ...extraOptions, WRAP, this.#script(task, parameters)];
  }

  /** Runs sbatch. A complete script (`#!`) is put in a file, since a wrapped one would lose its first lines' meaning. */
  override async execute(argv: readonly string[], options: ExecuteOptions = {}): Promise<number> {
    const text = argv.at(-2) === WRAP ? argv.at(-1) : undefined;
    if (text === undefined || !text.startsWith("#!")) return super.execute(argv, options);
    return withScript(text, (path) => super.execute([...argv.slice(0, -2), path], options));
  }

  #script(task: string, parameters: JsonObject): string {
    const { scriptTemplate, executable = task, script } = this.#options;
    if (scriptTemplate !== undefined) return fillScript(scriptTemplate, task, parameters);
    const command = script === undefined ? [executable] : [executable, script];
    return [...command, ...commandOptions(parameters)].map(shellWord).join(" ");
  }
}
