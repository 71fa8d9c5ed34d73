/** Real processes to be killed: one server on a fixed port, some agents, and the SDK that talks to them. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { YardmasterClient } from "@yardmaster/client";

const MAIN = resolve(import.meta.dir, "../../src/cli/main.ts");
/** Short, so that what a killed agent held comes back within the test. */
const LEASE_MS = 2_000;

export class Yard {
  readonly dir = mkdtempSync(join(tmpdir(), "yardmaster-kill-"));
  readonly client: YardmasterClient;
  readonly #port: number;
  readonly #serverFlags: readonly string[];
  readonly #processes = new Map<string, ChildProcess>();
  readonly #output: string[] = [];

  /**
   * @param options.maxRetries how often the client repeats what failed; by default until servers are back
   * @param options.serverFlags for the server, besides its address, folder and lease
   */
  constructor(options: { maxRetries?: number; serverFlags?: readonly string[] } = {}) {
    this.#serverFlags = options.serverFlags ?? [];
    const probe = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    this.#port = probe.port ?? 0;
    probe.stop(true);
    this.client = new YardmasterClient({
      baseUrl: this.url,
      maxRetries: options.maxRetries ?? 100,
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** @throws Error when no server runs */
  get serverPid(): number {
    const pid = this.#processes.get("server")?.pid;
    if (pid === undefined) throw new Error("no server runs");
    return pid;
  }

  /** Starts the server and resolves when it answers. */
  async startServer(): Promise<void> {
    this.#spawn("server", [
      ...["serve", "--listen", `127.0.0.1:${this.#port}`, "--data", join(this.dir, "data")],
      ...["--lease-ms", `${LEASE_MS}ms`, ...this.#serverFlags],
    ]);
    const deadline = Date.now() + 20_000;
    while (!(await this.client.isReady().catch(() => false))) {
      if (Date.now() > deadline) throw new Error(`the server does not start:\n${this.tail()}`);
      await Bun.sleep(20);
    }
  }

  /** @param options.stateDir null leaves the choice to the agent. */
  startAgent(name: string, cpu: number, options: { stateDir?: null } = {}): void {
    this.#spawn(name, [
      ...["agent", "--server", this.url, "--name", name, "--cpu", String(cpu)],
      ...(options.stateDir === null ? [] : ["--state-dir", join(this.dir, name)]),
      ...["--grace-ms", "200ms"],
    ]);
  }

  #spawn(name: string, args: readonly string[]): void {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd: this.dir,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.#output.push(`${name}: ${chunk.toString()}`);
        if (this.#output.length > 200) this.#output.shift();
      });
    }
    this.#processes.set(name, child);
  }

  /** Kills a process with SIGKILL and resolves when it is gone. */
  async kill(name: string): Promise<void> {
    const child = this.#processes.get(name);
    if (child === undefined) return;
    this.#processes.delete(name);
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${name} had ended by itself:\n${this.tail()}`);
    }
    const gone = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await gone;
  }

  /** What the processes printed last. */
  tail(): string {
    return this.#output.slice(-40).join("");
  }

  async dispose(): Promise<void> {
    for (const [name, child] of this.#processes) {
      if (child.exitCode === null && child.signalCode === null) await this.kill(name);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
