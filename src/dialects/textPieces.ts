/** Long texts in pieces, so that no more of one waits in memory for a reader than a piece. */

/** Longest piece that is worth sending at a time. */
export const PIECE_CHARACTERS = 16 * 1024;

/** The text in pieces, never cut within a character that takes two units of UTF-16. */
export function* piecesOf(text: string): Generator<string> {
  let start = 0;
  while (start < text.length) {
    let end = Math.min(text.length, start + PIECE_CHARACTERS);
    const isHighSurrogate = (text.charCodeAt(end - 1) & 0xfc00) === 0xd800;
    if (isHighSurrogate && end < text.length) end--;
    yield text.slice(start, end);
    start = end;
  }
}

/** What stands between the quotes of the text as JSON, in pieces; markup of JSON makes one up to six times as long. */
export function* jsonPiecesOf(text: string): Generator<string> {
  for (const piece of piecesOf(text)) yield JSON.stringify(piece).slice(1, -1);
}
