/**
 * Command templates: `python train.py --lr {lr} "--name={name}"`.
 *
 * A template is split into words first, as a shell would, and the placeholders are filled in afterwards.
 * So each value stays inside its word whatever characters it holds: no value can add an argument, and no
 * shell reads the result.
 */
import type { Json } from "./job.ts";

/** The template or its parameters are wrong; the message names the placeholder or the place. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
}

type Piece = { readonly text: string } | { readonly placeholder: string };
type Word = readonly Piece[];

/** What a placeholder may be called. */
const PLACEHOLDER_NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/;

/**
 * Fills a template and returns the argument vector, program first.
 *
 * Quotes (`'…'`, `"…"`) and backslashes keep spaces in a word; `{{` and `}}` stand for braces. Strings are
 * taken as they are, numbers and booleans as JSON writes them, lists and objects as JSON text.
 *
 * @param options.allowUnused accept parameters that the template does not name; else they are an error,
 *   because a value that silently goes nowhere is a mistake in one of the two.
 * @throws TemplateError for an unclosed quote or brace, a bad placeholder name, a placeholder without a
 *   parameter, a parameter without a placeholder, a null value, a NUL character, or an empty template.
 */
export function fillTemplate(
  template: string,
  parameters: Readonly<Record<string, Json>>,
  options: { readonly allowUnused?: boolean } = {},
): string[] {
  const words = parseTemplate(template);
  const named = new Set(placeholdersOf(words));
  const missing = [...named].filter((name) => !Object.hasOwn(parameters, name));
  if (missing.length > 0) {
    throw new TemplateError(`the template needs ${listNames(missing)}, which the parameters do not give`);
  }
  if (options.allowUnused !== true) {
    const unused = Object.keys(parameters).filter((name) => !named.has(name));
    if (unused.length > 0) {
      throw new TemplateError(`the parameters give ${listNames(unused)}, which the template does not use`);
    }
  }
  return words.map((word) => word.map((piece) => pieceText(piece, parameters)).join(""));
}

/** Checks that a template can be filled by some parameters, and returns the names it needs. */
export function templatePlaceholders(template: string): string[] {
  return [...new Set(placeholdersOf(parseTemplate(template)))];
}

function listNames(names: readonly string[]): string {
  return names.map((name) => `{${name}}`).join(", ");
}

function placeholdersOf(words: readonly Word[]): string[] {
  return words.flatMap((word) =>
    word.flatMap((piece) => ("placeholder" in piece ? [piece.placeholder] : [])),
  );
}

function pieceText(piece: Piece, parameters: Readonly<Record<string, Json>>): string {
  if ("text" in piece) return piece.text;
  const value = parameters[piece.placeholder];
  if (value === null || value === undefined) {
    throw new TemplateError(`the parameter {${piece.placeholder}} is null; give a value`);
  }
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (text.includes("\0")) {
    throw new TemplateError(
      `the parameter {${piece.placeholder}} holds a NUL character, which no argument can`,
    );
  }
  return text;
}

function parseTemplate(template: string): Word[] {
  const words: Word[] = [];
  let pieces: Piece[] = [];
  let text = "";
  let isInWord = false;
  let quote: "'" | '"' | null = null;

  const endText = () => {
    if (text !== "") pieces.push({ text });
    text = "";
  };
  const endWord = () => {
    endText();
    if (isInWord) words.push(pieces);
    pieces = [];
    isInWord = false;
  };

  for (let at = 0; at < template.length; at++) {
    const char = template.charAt(at);
    const next = template.charAt(at + 1);
    if (char === "\0") throw new TemplateError(`the template holds a NUL character at position ${at}`);
    if (char === "{" && next === "{") {
      text += "{";
      isInWord = true;
      at++;
    } else if (char === "}" && next === "}") {
      text += "}";
      isInWord = true;
      at++;
    } else if (char === "{") {
      const end = template.indexOf("}", at);
      if (end < 0) throw new TemplateError(`the brace at position ${at} is not closed; write {{ for a brace`);
      const name = template.slice(at + 1, end);
      if (!PLACEHOLDER_NAME.test(name)) {
        throw new TemplateError(
          `"{${name}}" at position ${at} is no placeholder: a name has letters, digits, "_", "-" and "."; write {{ for a brace`,
        );
      }
      endText();
      pieces.push({ placeholder: name });
      isInWord = true;
      at = end;
    } else if (char === "}") {
      throw new TemplateError(`the brace at position ${at} closes nothing; write }} for a brace`);
    } else if (quote !== null) {
      if (char === quote) quote = null;
      else if (char === "\\" && quote === '"' && (next === '"' || next === "\\")) {
        text += next;
        at++;
      } else text += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      isInWord = true;
    } else if (char === "\\" && next !== "") {
      text += next;
      isInWord = true;
      at++;
    } else if (/\s/.test(char)) {
      endWord();
    } else {
      text += char;
      isInWord = true;
    }
  }
  if (quote !== null) throw new TemplateError(`the quote ${quote} is not closed`);
  endWord();
  if (words.length === 0) throw new TemplateError("the template is empty; it must name a program");
  return words;
}
