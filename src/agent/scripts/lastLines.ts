/** The last lines of an output, in little memory. */
export class LastLines {
  readonly #maxLines: number;
  readonly #maxCharacters: number;
  readonly #isWanted: (line: string) => boolean;
  readonly #decoder = new TextDecoder();
  #lines: string[] = [];
  #rest = "";

  /** @param isWanted says which lines count; blank ones never do */
  constructor(maxLines: number, maxCharacters: number, isWanted: (line: string) => boolean = () => true) {
    this.#maxLines = maxLines;
    this.#maxCharacters = maxCharacters;
    this.#isWanted = isWanted;
  }

  append(bytes: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r?\n|\r/);
    // Of a line without end only its own end is kept.
    this.#rest = (lines.pop() ?? "").slice(-this.#maxCharacters);
    this.#add(lines);
  }

  /** Those lines, the last unfinished one too. */
  text(): string {
    this.#add([this.#rest]);
    this.#rest = "";
    // It becomes part of an error message, which takes neither NUL nor halves of characters.
    const text = this.#lines.join("\n").slice(-this.#maxCharacters);
    return text.toWellFormed().replaceAll("\0", "\ufffd").trim();
  }

  #add(lines: readonly string[]): void {
    const wanted = lines
      .slice(-10 * this.#maxLines)
      .filter((line) => line.trim() !== "" && this.#isWanted(line));
    this.#lines = [...this.#lines, ...wanted.map((line) => line.trimEnd().slice(-this.#maxCharacters))].slice(
      -this.#maxLines,
    );
  }
}
