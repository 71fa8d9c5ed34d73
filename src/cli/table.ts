/** Tables of lists, compact: no frames, two blanks between columns. */
import CliTable from "cli-table3";
import { oneLine } from "./othersText.ts";

const NO_FRAME = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};

/** Rows under their headings; cells may hold colours. */
export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new CliTable({
    head: headings.map((heading) => heading.toUpperCase()),
    chars: NO_FRAME,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0, compact: true },
  });
  table.push(...rows.map((row) => row.map(oneLine)));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** Cuts text to `width` characters, with an ellipsis where something is missing. */
export function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
