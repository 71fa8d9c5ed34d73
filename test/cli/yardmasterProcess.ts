/** Starts the real command for tests: to its end, or as a server that is ended with the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A scratch folder with processes in it; `dispose` ends and removes all. */
export class Scratch {
  readonly folder = mkdtempSync(join(tmpdir(), "yardmaster-cli-"));
  readonly #children: Bun.Subprocess[] = [];

  /** Environment without the caller's own settings. */
  environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    const kept = Object.entries(process.env).filter(
      (pair): pair is [string, string] => pair[1] !== undefined && !/^(YARDMASTER|AWS)_/.test(pair[0]),
    );
    return { ...Object.fromEntries(kept), NO_COLOR: "1", ...extra };
  }

  /** Runs the command to its end. */
  async run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const child = this.spawn(argv, env);
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { exitCode, stdout, stderr };
  }

  spawn(
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    const child = Bun.spawn([process.execPath, MAIN, ...argv], {
      cwd: this.folder,
      env: this.environment(env),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#children.push(child);
    return child;
  }

  /** Starts `up` or `serve` on a free port; resolves when it is ready. */
  async start(
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly url: string; readonly child: Bun.Subprocess<"ignore", "pipe", "pipe"> }> {
    const child = this.spawn([...argv, "--json", "--listen", "127.0.0.1:0"], env);
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      if (text.includes("\n")) break;
    }
    const url = /http:\/\/[^"]+/.exec(text)?.[0];
    if (url === undefined) throw new Error(`not started: ${text}${await new Response(child.stderr).text()}`);
    return { url, child };
  }

  async dispose(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await child.exited;
      clearTimeout(timer);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Looks until `found` gives something, at most `timeoutMs`. */
export async function eventually<T>(
  what: string,
  found: () => T | null | Promise<T | null>,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await found();
    if (value !== null) return value;
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await Bun.sleep(20);
  }
}
