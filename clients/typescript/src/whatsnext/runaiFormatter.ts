/**
 * Hands jobs to Run:ai: `runai submit …`, with the parameters as arguments of the image's own program, or of
 * `executable`. A job is `COMPLETED` as soon as Run:ai has accepted it.
 */
import type { Json, JsonObject } from "../types.ts";
import { commandOptions } from "./commandOptions.ts";
import { FormatError } from "./errors.ts";
import { Formatter, type FormatterOptions } from "./formatter.ts";

export interface RUNAIFormatterOptions
  extends Pick<FormatterOptions, "timeoutMs" | "killGraceMs" | "output"> {
  project?: string | undefined;
  /** Container image. */
  image: string;
  /** GPUs; fractions are allowed. */
  gpu?: number | undefined;
  /** CPUs, or `500m`. */
  cpu?: string | number | undefined;
  /** `8G`. */
  memory?: string | undefined;
  /** Folder inside the container. */
  workingDir?: string | undefined;
  /** Variables inside the container; not secrets, which would be seen in the list of processes. */
  environment?: Readonly<Record<string, Json>> | undefined;
  /** Runs in place of the image's own program. */
  executable?: string | undefined;
  /** The executable's first argument. */
  script?: string | undefined;
  /** More options for `runai submit`, as they are. */
  extraOptions?: readonly string[] | undefined;
}

export class RUNAIFormatter extends Formatter {
  readonly #options: RUNAIFormatterOptions;

  constructor(options: RUNAIFormatterOptions) {
    // `workingDir` and `environment` are the container's; the command that submits it keeps the worker's own.
    const { timeoutMs, killGraceMs, output } = options;
    super({ timeoutMs, killGraceMs, output });
    if (typeof options.image !== "string" || options.image === "") {
      throw new TypeError("RUNAIFormatter: image must name a container image");
    }
    if (options.script !== undefined && options.executable === undefined) {
      throw new TypeError("RUNAIFormatter: script needs executable, the program that reads it");
    }
    this.#options = options;
  }

  override format(task: string, parameters: JsonObject): string[] {
    const { project, image, gpu, cpu, memory, workingDir, environment = {} } = this.#options;
    const { executable, script, extraOptions = [] } = this.#options;
    const given = [
      ["--job-name-prefix", jobNamePrefix(task)],
      ["--project", project],
      ["--image", image],
      ["--gpu", gpu],
      ["--cpu", cpu],
      ["--memory", memory],
      ["--working-dir", workingDir],
    ].flatMap(([name, value]) => (value === undefined ? [] : [String(name), String(value)]));
    const variables = Object.entries(environment).flatMap(([name, value]) => [
      "--environment",
      `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
    ]);
    const program =
      executable === undefined ? [] : script === undefined ? [executable] : [executable, script];
    const inside = [...program, ...commandOptions(parameters)];
    const command = program.length > 0 ? ["--command"] : [];
    const rest = inside.length > 0 ? [...command, "--", ...inside] : [];
    return ["runai", "submit", ...given, ...variables, ...extraOptions, ...rest];
  }
}

/** Run:ai names jobs as Kubernetes does (RFC 1123 label) and adds a number; 63 characters in all. */
function jobNamePrefix(task: string): string {
  const label = task
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 50)
    .replaceAll(/^-+|-+$/g, "");
  if (label === "") throw new FormatError(`task "${task}" has no letter or digit to name a Run:ai job by`);
  return /^[a-z]/.test(label) ? label : `job-${label}`;
}
