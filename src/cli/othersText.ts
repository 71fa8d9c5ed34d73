/** Text of others on a terminal: names, errors and results of jobs are data, whatever a terminal would make of them. */

/** All that a terminal obeys, but colours, tabs and ends of lines: C0 and C1 controls, and what turns the direction of text. */
const CONTROLS = /\x1b(?!\[[\d;]{0,20}m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** Takes out what would move the cursor, set a title or turn what follows around. Colours stay. */
export function withoutControls(text: string): string {
  return text.replaceAll(CONTROLS, "");
}

/** The same on one line: no text can pass for a line of ours. */
export function oneLine(text: string): string {
  return withoutControls(text.replaceAll(/\s+/g, " "));
}

/** Lines after the first are indented by so many blanks, so that none can pass for a line of ours. */
export function indented(text: string, blanks: number): string {
  return text.replaceAll(/\r\n|[\n\r\u2028\u2029]/g, `\n${" ".repeat(blanks)}`);
}
