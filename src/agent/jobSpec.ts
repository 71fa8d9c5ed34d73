/** Reads the parts that specs of several kinds share. The server has checked them; other servers may not have. */
import type { Json, JsonObject } from "@yardmaster/client";
import { JobFault } from "./runner.ts";

/** Texts that can be arguments of a program. @throws JobFault naming the field */
export function textList(field: string, value: Json): readonly string[] {
  if (!Array.isArray(value)) throw new JobFault(`spec.${field} must be a list`);
  return value.map((item, index) => {
    if (typeof item !== "string") throw new JobFault(`spec.${field}[${index}] must be text`);
    if (item.includes("\0")) throw new JobFault(`spec.${field}[${index}] must not contain a NUL character`);
    return item;
  });
}

/** `spec.env`; absent is empty. @throws JobFault naming the variable, never its value */
export function environmentOf(value: Json | undefined): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw new JobFault("spec.env must be an object");
  const result: Record<string, string> = {};
  for (const [name, text] of Object.entries(value)) {
    if (name === "" || /[=\0]/.test(name)) throw new JobFault(`spec.env: ${JSON.stringify(name)} is no name`);
    if (typeof text !== "string" || text.includes("\0")) {
      throw new JobFault(`spec.env.${name} must be text without NUL characters`);
    }
    result[name] = text;
  }
  return result;
}

/** Says whether a JSON value is an object. */
export function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
