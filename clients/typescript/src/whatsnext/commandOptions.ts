/**
 * A job's parameters as command-line options, in their order:
 *
 * | value | options |
 * |---|---|
 * | text, number | `--key value`; `--key=value` for a text that starts with `-` and is no number |
 * | true | `--key` |
 * | false, null | none |
 * | list of texts and numbers | `--key a b c`; none when empty |
 * | object, list with anything else in it | `--key JSON` |
 */
import type { Json, JsonObject } from "../types.ts";
import { FormatError } from "./errors.ts";

/** @throws {FormatError} for a name or a value that a program could take for something else */
export function commandOptions(parameters: JsonObject): string[] {
  return Object.entries(parameters).flatMap(([name, value]) => {
    if (!/^[\p{L}\p{N}_][\p{L}\p{N}_.-]*$/u.test(name)) {
      throw new FormatError(
        `parameter "${name}" cannot be an option: letters, digits, "_", "." and "-" are allowed, and no "-" at the start`,
      );
    }
    return optionOf(name, value);
  });
}

function optionOf(name: string, value: Json): string[] {
  const key = `--${name}`;
  if (value === null || value === undefined || value === false) return [];
  if (value === true) return [key];
  if (typeof value === "string") {
    const text = withoutNul(name, value);
    return startsLikeAnOption(text) ? [`${key}=${text}`] : [key, text];
  }
  if (typeof value === "number") return [key, String(value)];
  if (!Array.isArray(value)) return [key, JSON.stringify(value)];
  if (value.length === 0) return [];
  const items = value.map((item) => scalarText(name, item));
  return items.every((item) => item !== null) ? [key, ...items] : [key, JSON.stringify(value)];
}

function scalarText(name: string, item: Json): string | null {
  if (typeof item === "number") return String(item);
  if (typeof item !== "string") return null;
  const text = withoutNul(name, item);
  if (startsLikeAnOption(text)) {
    throw new FormatError(
      `parameter "${name}": the list item "${text}" starts with "-" and would be read as an option`,
    );
  }
  return text;
}

/** A negative number is a value to every common parser; any other text with a dash in front is not. */
function startsLikeAnOption(text: string): boolean {
  return text.startsWith("-") && !/^-(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text);
}

function withoutNul(name: string, text: string): string {
  if (!text.includes("\0")) return text;
  throw new FormatError(`parameter "${name}" holds a NUL character, which no argument can`);
}
