/** Real processes to measure: servers, agents, limits; all ended when the measurement is over. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Target } from "./connection.ts";

const MAIN = resolve(import.meta.dir, "../src/cli/main.ts");
const STOP_TIMEOUT_MS = 15_000;
const START_TIMEOUT_MS = 30_000;

type Child = Bun.Subprocess<"ignore", "pipe", "inherit">;

export interface ServerProcess {
  readonly url: string;
  readonly target: Target;
  readonly pid: number;
}

/** Starts processes in a folder of its own and ends all of them with `stop`. */
export class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), "yardmaster-bench-"));
  readonly #children: Child[] = [];

  /** An empty data folder for a server. */
  dataFolder(): string {
    return mkdtempSync(join(this.folder, "data-"));
  }

  /** A Yardmaster server on a data folder, an empty one where none is given, on a free port. */
  server(data = this.dataFolder()): Promise<ServerProcess> {
    return this.#listening([
      MAIN,
      "serve",
      "--quiet",
      "--json",
      "--listen",
      "127.0.0.1:0",
      "--data",
      data,
      "--log-level",
      "warn",
    ]);
  }

  /** Bun's bare HTTP server, with answers of this many bytes. */
  bareServer(answerBytes: number): Promise<ServerProcess> {
    return this.#listening([resolve(import.meta.dir, "limits/bareServer.ts"), String(answerBytes)]);
  }

  /** An agent that has registered with the server. @param flags further ones of its command line */
  async agent(
    server: ServerProcess,
    cpu: number,
    flags: readonly string[] = [],
  ): Promise<{ readonly pid: number }> {
    const state = mkdtempSync(join(this.folder, "agent-"));
    const child = this.#spawn([
      MAIN,
      "agent",
      "--quiet",
      "--server",
      server.url,
      "--cpu",
      String(cpu),
      "--state-dir",
      state,
      ...flags,
    ]);
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < deadline) {
      const answer = await fetch(`${server.url}/v1/workers`);
      if ((await answer.text()).includes('"online"')) return { pid: child.pid };
      await Bun.sleep(50);
    }
    throw new Error("the agent did not register in time");
  }

  /** Ends a process in order, SIGKILL when it takes too long. */
  async end(pid: number): Promise<void> {
    const child = this.#children.find((candidate) => candidate.pid === pid);
    if (child === undefined) return;
    child.kill("SIGINT");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await child.exited;
    clearTimeout(timer);
  }

  async stop(): Promise<void> {
    // The last started first: agents before their server.
    for (const child of this.#children.toReversed()) await this.end(child.pid);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #spawn(argv: readonly string[]): Child {
    const child = Bun.spawn([process.execPath, ...argv], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
      cwd: this.folder,
    });
    this.#children.push(child);
    return child;
  }

  async #listening(argv: readonly string[]): Promise<ServerProcess> {
    const child = this.#spawn(argv);
    const line = await firstLine(child.stdout);
    const url = /http:\/\/[^"]+/.exec(line)?.[0];
    if (url === undefined)
      throw new Error(`${argv.slice(0, 2).join(" ")} did not say where it listens: ${line}`);
    const { hostname, port } = new URL(url);
    return { url, target: { hostname, port: Number(port) }, pid: child.pid };
  }
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  return text;
}

/** Memory that a process holds now, in MiB. Linux. */
export function residentMb(pid: number): number {
  return memoryMb(pid, "VmRSS");
}

/** The most memory that a process ever held, in MiB. Linux. */
export function highestMb(pid: number): number {
  return memoryMb(pid, "VmHWM");
}

function memoryMb(pid: number, name: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) / 1024;
}
