/** One program of `programs/` as a process: commands in, answers out, one at a time. */
import type { Answer, Command } from "./programs/program.ts";

const STOP_TIMEOUT_MS = 10_000;

export class ProgramProcess {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(argv: readonly string[], cwd: string) {
    this.#child = Bun.spawn([...argv], { stdin: "pipe", stdout: "pipe", stderr: "inherit", cwd });
    this.#reader = this.#child.stdout.getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Sends one command and waits for its answer; throws when the program says that it failed. */
  async ask(command: Command): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    await this.#child.stdin.flush();
    const answer: Answer = JSON.parse(await this.#line());
    if (answer.error !== undefined) throw new Error(`${command.do}: ${answer.error}`);
    return answer;
  }

  /** Ends the program in order, SIGKILL when it takes too long. */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#child.stdin.end();
    await this.#child.exited;
    clearTimeout(timer);
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`the program ended with ${await this.#child.exited}`);
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }
}
