/** What the command prints and where: results to stdout, notes to stderr, colours only for people. */
import { writeSync } from "node:fs";
import { styleText } from "node:util";
import { EXIT } from "./exitCode.ts";
import { withoutControls } from "./othersText.ts";

export type Colour = "green" | "red" | "yellow" | "cyan" | "gray" | "bold";

export interface TerminalOptions {
  /** Only results and errors. */
  readonly isQuiet: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const STDOUT = 1;
const STDERR = 2;
/** Pause before writing again to a descriptor that somebody made non-blocking and that is full. */
const FULL_PIPE_PAUSE_MS = 2;

export class Terminal {
  readonly isQuiet: boolean;
  #hasStatus = false;
  readonly #colours: { readonly stdout: boolean; readonly stderr: boolean };

  constructor(options: TerminalOptions) {
    this.isQuiet = options.isQuiet;
    // https://no-color.org: present and not empty turns colours off.
    const allowed = (options.env.NO_COLOR ?? "") === "" && options.env.TERM !== "dumb";
    this.#colours = {
      stdout: allowed && process.stdout.isTTY === true,
      stderr: allowed && process.stderr.isTTY === true,
    };
  }

  /** True when a person looks at the notes, so that a spinner makes sense. */
  get isInteractive(): boolean {
    return process.stderr.isTTY === true && !this.isQuiet;
  }

  /** Writes text as it is to stdout. */
  write(text: string): void {
    this.status(null);
    writeAll(STDOUT, text);
  }

  /** Writes text as it is to stderr: a job's own errors. */
  writeError(text: string): void {
    this.status(null);
    writeAll(STDERR, text);
  }

  /** Shows a line that the next one replaces; null takes it away. Whatever else is written does that too. */
  status(text: string | null): void {
    if (text === null && !this.#hasStatus) return;
    this.#hasStatus = text !== null;
    const width = Math.max(20, (process.stderr.columns || 80) - 1);
    writeAll(STDERR, `\r\x1b[2K${(text ?? "").slice(0, width)}`);
  }

  /** A line of the result, for people. */
  line(text: string): void {
    this.write(`${withoutControls(text)}\n`);
  }

  /** A line of JSON, for programs. */
  jsonLine(value: unknown): void {
    this.write(`${JSON.stringify(value)}\n`);
  }

  /** The result as JSON, exactly as the API gave it. */
  json(value: unknown): void {
    this.write(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** A line beside the result; not shown with `--quiet`. */
  note(text: string): void {
    if (!this.isQuiet) this.writeError(`${withoutControls(text)}\n`);
  }

  /** A line about something wrong; shown always. */
  error(text: string): void {
    this.writeError(`${this.paintError("red", "yardmaster:")} ${withoutControls(text)}\n`);
  }

  paint(colour: Colour, text: string): string {
    return this.#colours.stdout ? styleText(colour, text, { validateStream: false }) : text;
  }

  paintError(colour: Colour, text: string): string {
    return this.#colours.stderr ? styleText(colour, text, { validateStream: false }) : text;
  }
}

/**
 * Writes all of `text` before it returns: the process may end right after, and a reader that is slower
 * than a followed log holds the log back instead of filling our memory.
 */
function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(descriptor, bytes, offset);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : null;
      if (code === "EPIPE") process.exit(EXIT.brokenPipe);
      if (code !== "EAGAIN") throw error;
      Bun.sleepSync(FULL_PIPE_PAUSE_MS);
    }
  }
}
