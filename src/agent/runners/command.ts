/** The `command` runner: an argument vector, or a task's template filled with the job's parameters. */
import type { Json, JsonObject } from "@yardmaster/client";
import { fillTemplate, TemplateError } from "../../domain/template.ts";
import { environmentOf, isObject, textList } from "../jobSpec.ts";
import { JobFault, type Launch, type RunContext, type Runner } from "../runner.ts";

export const commandRunner: Runner = {
  kind: "command",
  prepare({ job, workspace }: RunContext): Launch {
    const { spec } = job;
    const argv = spec.argv === undefined || spec.argv === null ? filled(spec) : argumentVector(spec.argv);
    return { argv, env: environmentOf(spec.env), cwd: workingDirectory(spec.cwd) ?? workspace };
  },
};

function argumentVector(value: Json): readonly string[] {
  const argv = textList("argv", value);
  if (argv.length === 0) throw new JobFault("spec.argv must be a list that is not empty");
  return argv;
}

function filled(spec: JsonObject): readonly string[] {
  if (typeof spec.template !== "string")
    throw new JobFault("spec must have argv, or template and parameters");
  const parameters = spec.parameters ?? {};
  if (!isObject(parameters)) throw new JobFault("spec.parameters must be an object");
  try {
    return fillTemplate(spec.template, parameters);
  } catch (error) {
    if (error instanceof TemplateError) throw new JobFault(error.message);
    throw error;
  }
}

function workingDirectory(value: Json | undefined): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "string" || value === "" || value.includes("\0")) {
    throw new JobFault("spec.cwd must be the path of a directory");
  }
  return value;
}
