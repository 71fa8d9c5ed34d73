/** Real processes to be killed: servers on fixed ports, some agents, and the SDK that talks to them. */
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
  readonly #ports: readonly number[];
  readonly #storeUrl: string | null;
  readonly #serverFlags: readonly string[];
  readonly #processes = new Map<string, ChildProcess>();
  readonly #output: string[] = [];

  /**
   * @param options.maxRetries how often the client repeats what failed; by default until servers are back
   * @param options.serverFlags for each server, besides its address, folder and lease
   * @param options.storeUrl of a PostgreSQL database; several servers need one
   * @param options.servers how many there are; the first one is the client's
   */
  constructor(
    options: {
      maxRetries?: number;
      serverFlags?: readonly string[];
      storeUrl?: string;
      servers?: number;
    } = {},
  ) {
    this.#serverFlags = options.serverFlags ?? [];
    this.#storeUrl = options.storeUrl ?? null;
    const probes = Array.from({ length: options.servers ?? 1 }, () =>
      Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() }),
    );
    this.#ports = probes.map((probe) => probe.port ?? 0);
    for (const probe of probes) probe.stop(true);
    this.client = new YardmasterClient({
      baseUrl: this.url,
      maxRetries: options.maxRetries ?? 100,
    });
  }

  get url(): string {
    return this.urlOf(0);
  }

  urlOf(server: number): string {
    return `http://127.0.0.1:${this.#ports[server]}`;
  }

  /** @throws Error when no server runs */
  get serverPid(): number {
    const pid = this.#processes.get(serverName(0))?.pid;
    if (pid === undefined) throw new Error("no server runs");
    return pid;
  }

  /** Starts a server and resolves when it answers. */
  async startServer(server = 0): Promise<void> {
    this.#spawn(serverName(server), [
      ...[
        "serve",
        "--listen",
        `127.0.0.1:${this.#ports[server]}`,
        "--data",
        join(this.dir, `data-${server}`),
      ],
      ...(this.#storeUrl === null ? [] : ["--store", this.#storeUrl]),
      ...["--lease-ms", `${LEASE_MS}ms`, ...this.#serverFlags],
    ]);
    const deadline = Date.now() + 20_000;
    const isReady = async () => (await fetch(`${this.urlOf(server)}/readyz`)).ok;
    while (!(await isReady().catch(() => false))) {
      if (Date.now() > deadline) throw new Error(`the server does not start:\n${this.tail()}`);
      await Bun.sleep(20);
    }
  }

  /**
   * @param options.stateDir null leaves the choice to the agent.
   * @param options.server that it claims from
   */
  startAgent(name: string, cpu: number, options: { stateDir?: null; server?: number } = {}): void {
    this.#spawn(name, [
      ...["agent", "--server", this.urlOf(options.server ?? 0), "--name", name, "--cpu", String(cpu)],
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

  /** Stops a process with SIGSTOP, lets it go on after `ms`. */
  async pause(name: string, ms: number): Promise<void> {
    const child = this.#processes.get(name);
    child?.kill("SIGSTOP");
    await Bun.sleep(ms);
    child?.kill("SIGCONT");
  }

  killServer(server = 0): Promise<void> {
    return this.kill(serverName(server));
  }

  pauseServer(server: number, ms: number): Promise<void> {
    return this.pause(serverName(server), ms);
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

function serverName(server: number): string {
  return server === 0 ? "server" : `server-${server + 1}`;
}
