/** `?after=SEQ`: the last message that a client has. */
import { InvalidRequestError } from "../../requestErrors.ts";

/**
 * Null when there is none.
 *
 * @throws InvalidRequestError for what is no number of a message
 */
export function readAfter(query: URLSearchParams): { readonly seq: number } | null {
  const text = query.get("after");
  if (text === null) return null;
  const seq = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(seq)) return { seq };
  const message = "must be the seq of a message, a whole number";
  throw new InvalidRequestError([{ part: "query", path: ["after"], message }]);
}
