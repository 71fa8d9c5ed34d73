/** The `command` runner: an argument vector, or a task's template filled with the job's parameters. */
import type { Json, JsonObject } from "@yardmaster/client";
import { fillTemplate, TemplateError } from "../../domain/template.ts";
import { JobFault, type Launch, type RunContext, type Runner } from "../runner.ts";

export const commandRunner: Runner = {
  kind: "command",
  prepare({ job, workspace }: RunContext): Launch {
    const { spec } = job;
    const argv = spec.argv === undefined || spec.argv === null ? filled(spec) : argumentVector(spec.argv);
    return { argv, env: environment(spec.env), cwd: workingDirectory(spec.cwd) ?? workspace };
  },
};

function argumentVector(value: Json): readonly string[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new JobFault("spec.argv must be a list that is not empty");
  return value.map((argument, index) => {
    if (typeof argument !== "string") throw new JobFault(`spec.argv[${index}] must be text`);
    if (argument.includes("\0")) throw new JobFault(`spec.argv[${index}] must not contain a NUL character`);
    return argument;
  });
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

function environment(value: Json | undefined): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw new JobFault("spec.env must be an object");
  const result: Record<string, string> = {};
  for (const [name, text] of Object.entries(value)) {
    if (name === "" || /[=\0]/.test(name)) throw new JobFault(`spec.env: ${JSON.stringify(name)} is no name`);
    // The value may be a secret: it is not repeated.
    if (typeof text !== "string" || text.includes("\0")) {
      throw new JobFault(`spec.env.${name} must be text without NUL characters`);
    }
    result[name] = text;
  }
  return result;
}

function workingDirectory(value: Json | undefined): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "string" || value === "" || value.includes("\0")) {
    throw new JobFault("spec.cwd must be the path of a directory");
  }
  return value;
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
