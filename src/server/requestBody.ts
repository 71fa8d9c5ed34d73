/**
 * Reads a JSON body strictly: bounded while it is read, UTF-8 without faults, nesting bounded before it is
 * parsed. The only place where bytes from outside become values.
 */
import {
  BodyTooLargeError,
  MalformedBodyError,
  UnsupportedMediaTypeError,
} from "../dialects/requestErrors.ts";
import type { BodyOptions, JsonBody } from "../dialects/route.ts";
import type { Cors } from "./access/cors.ts";
import { refuseForeignPage } from "./access/foreignPage.ts";
import type { ServerLimits } from "./limits.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });
const anyUtf8 = new TextDecoder("utf-8");
const NO_OPTIONS: BodyOptions = {};
const EMPTY: JsonBody = { value: undefined, bytes: new Uint8Array(0) };

/**
 * @throws UnsupportedMediaTypeError where the type is given and is not JSON, BodyTooLargeError,
 *   MalformedBodyError, ForeignPageError
 */
export async function readJsonBody(
  request: Request,
  limits: ServerLimits,
  cors: Cors | null,
  options: BodyOptions = NO_OPTIONS,
): Promise<JsonBody> {
  const maxBytes = options.maxBytes ?? limits.maxBodyBytes;
  const type = request.headers.get("content-type");
  // A browser asks before a page may send JSON to another site, but not before a body without a type.
  if (type === null) refuseForeignPage(request, cors);
  else if (type !== "application/json" && !isJsonType(type)) {
    if (options.acceptsForms !== true || !isForm(type)) {
      throw new UnsupportedMediaTypeError(type, "application/json");
    }
    // A page may send a form to another site unasked.
    refuseForeignPage(request, cors);
  }
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > maxBytes) {
    throw new BodyTooLargeError(maxBytes);
  }
  // Without a length (chunked) only counting tells when it is too much.
  const bytes = length === null ? await countedBytes(request, maxBytes) : await request.bytes();
  if (bytes.byteLength === 0) return EMPTY;
  checkDepth(bytes, limits.maxJsonDepth);
  return { value: parse(bytes, options.replacesBadUtf8 === true ? anyUtf8 : utf8), bytes };
}

async function countedBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  if (request.body === null) return EMPTY.bytes;
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of request.body) {
    total += chunk.byteLength;
    if (total > maxBytes) throw new BodyTooLargeError(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parse(bytes: Uint8Array, decoder: TextDecoder): unknown {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new MalformedBodyError("the body is not valid UTF-8");
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : "cannot be parsed";
    throw new MalformedBodyError(`the body is not valid JSON: ${reason.slice(0, 200)}`);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Deep nesting would cost stack in everything that walks the value later. A body that is shorter than the
 * allowed depth cannot be too deep, which spares the small bodies of the hot routes.
 */
function checkDepth(bytes: Uint8Array, maxDepth: number): void {
  if (bytes.byteLength <= maxDepth) return;
  let depth = 0;
  let isInText = false;
  for (let at = 0; at < bytes.byteLength; at++) {
    const byte = bytes[at];
    if (isInText) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) isInText = false;
    } else if (byte === QUOTE) isInText = true;
    else if (byte === 0x5b || byte === 0x7b) {
      depth++;
      if (depth > maxDepth) throw new MalformedBodyError(`the body is nested deeper than ${maxDepth} levels`);
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
}

function isJsonType(type: string): boolean {
  return /^\s*[\w.+-]+\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type);
}

function isForm(type: string): boolean {
  return /^\s*application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type);
}
