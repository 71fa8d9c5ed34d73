/**
 * Texts as PostgreSQL takes them: any character but NUL. A NUL is written as two characters that begin with a
 * noncharacter of Unicode, and that noncharacter itself likewise, so that every text comes back as it was and two
 * different texts stay different.
 */
const ESCAPE = "\uFFFE";
const NEEDS_ESCAPE = /[\0\uFFFE]/;

export function encodeText(text: string): string {
  return NEEDS_ESCAPE.test(text)
    ? text.replaceAll(ESCAPE, `${ESCAPE}e`).replaceAll("\0", `${ESCAPE}0`)
    : text;
}

export function decodeText(text: string): string {
  return text.includes(ESCAPE) ? text.replaceAll(`${ESCAPE}0`, "\0").replaceAll(`${ESCAPE}e`, ESCAPE) : text;
}

/** Numbers as the literal of an array; it is sent as text, and the statement's cast says of which type it is. */
export function numbers(values: readonly (number | null)[]): string {
  // `join` would write null as nothing.
  return values.includes(null)
    ? `{${values.map((value) => value ?? "NULL").join(",")}}`
    : `{${values.join(",")}}`;
}

/** Texts as the literal of an array, encoded. */
export function texts(values: readonly (string | null)[]): string {
  let literal = "{";
  for (const [index, value] of values.entries()) {
    if (index > 0) literal += ",";
    literal += value === null ? "NULL" : quote(value);
  }
  return `${literal}}`;
}

const NEEDS_BACKSLASH = /["\\]/;

function quote(value: string): string {
  const text = encodeText(value);
  return NEEDS_BACKSLASH.test(text) ? `"${text.replace(/["\\]/g, "\\$&")}"` : `"${text}"`;
}

/** Reads the literal of an array of whole numbers. */
export function readNumbers(literal: string | null): number[] {
  return literal === null || literal === "{}" ? [] : literal.slice(1, -1).split(",").map(Number);
}
