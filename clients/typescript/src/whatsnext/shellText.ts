/** Text for a POSIX shell: words that mean themselves, and scripts filled with them. */
import type { Json, JsonObject } from "../types.ts";
import { FormatError } from "./errors.ts";

/** Writes a word so that a POSIX shell reads exactly that word. */
export function shellWord(text: string): string {
  if (text.includes("\0")) throw new FormatError("a value holds a NUL character, which no shell word can");
  if (/^[\w@%+:,./-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Fills the `{name}` places of a shell script, each with its value as one shell word; `{task}` is the task's name unless
 * a parameter has that name. `{{name}}` stands for `{name}`; braces around anything else, and `${name}`, are the shell's.
 * Keep places outside of quotes: a word brings its own.
 *
 * @throws {FormatError} for a place that no parameter fills
 */
export function fillScript(template: string, task: string, parameters: JsonObject): string {
  const values = new Map<string, Json>([["task", task], ...Object.entries(parameters)]);
  return template.replaceAll(/\{\{(\w+)\}\}|(?<!\$)\{([A-Za-z_]\w*)\}/g, (_match, literal, name) => {
    if (literal !== undefined) return `{${literal}}`;
    const value = values.get(name);
    if (value === undefined) {
      throw new FormatError(
        `the script has a place {${name}}, but the job has only ${[...values.keys()].join(", ")}; ` +
          `write {{${name}}} for braces that are the shell's`,
      );
    }
    return shellWord(valueText(value));
  });
}

function valueText(value: Json): string {
  return typeof value === "string" ? value : value === null ? "" : JSON.stringify(value);
}
