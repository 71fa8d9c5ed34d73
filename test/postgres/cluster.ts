/**
 * A PostgreSQL server of one's own: a fresh cluster in a temporary directory on a free port, for tests that must
 * not share one, that restart it or kill it.
 */
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";

const VERSIONS = "/usr/lib/postgresql";
const USER = "yard";
const PASSWORD = "p@ss:word/1";
/** Server programs refuse to run as root. */
const SYSTEM_USER = "postgres";
const START_TIMEOUT_SECONDS = 60;

export class Cluster {
  readonly #dir: string;
  readonly #port: number;
  readonly #settings: readonly string[];
  #databases = 0;

  private constructor(dir: string, port: number, settings: readonly string[]) {
    this.#dir = dir;
    this.#port = port;
    this.#settings = settings;
  }

  /** @param settings `name=value` of the server */
  static async start(...settings: string[]): Promise<Cluster> {
    const dir = mkdtempSync(join(tmpdir(), "yardmaster-postgres-"));
    const passwordFile = join(dir, "password");
    writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
    if (isRoot()) for (const path of [dir, passwordFile]) chownSync(path, ...idsOf(SYSTEM_USER));
    const cluster = new Cluster(dir, await freePort(), settings);
    try {
      run(
        "initdb",
        ...["-D", cluster.#data, "-U", USER, "--pwfile", passwordFile, "-A", "scram-sha-256"],
        ...["-E", "UTF8", "--locale=C", "--no-sync"],
      );
      cluster.startServer();
    } catch (error) {
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
    return cluster;
  }

  get #data(): string {
    return join(this.#dir, "data");
  }

  startServer(): void {
    const options = [
      `-p ${this.#port}`,
      "-c listen_addresses=127.0.0.1",
      `-c unix_socket_directories=${this.#dir}`,
      ...this.#settings.map((setting) => `-c ${setting}`),
    ];
    const log = join(this.#dir, "log");
    run(
      "pg_ctl",
      ...[
        "-D",
        this.#data,
        "-l",
        log,
        "-o",
        options.join(" "),
        "-w",
        "-t",
        String(START_TIMEOUT_SECONDS),
        "start",
      ],
    );
  }

  /** @param mode `fast` ends sessions and writes everything down, `immediate` is a crash */
  stopServer(mode: "fast" | "immediate" = "fast"): void {
    run("pg_ctl", "-D", this.#data, "-m", mode, "-w", "stop");
  }

  urlOf(database: string): string {
    return `postgres://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${this.#port}/${database}`;
  }

  /** Makes an empty database and gives its address. */
  async newDatabase(): Promise<string> {
    const name = `yard_${++this.#databases}`;
    await this.ask("postgres", `CREATE DATABASE ${name}`);
    return this.urlOf(name);
  }

  /** Runs one statement on a connection of its own. */
  async ask(database: string, statement: string): Promise<readonly Record<string, unknown>[]> {
    const sql = postgres(this.urlOf(database), { max: 1, onnotice: () => {} });
    try {
      return await sql.unsafe(statement);
    } finally {
      await sql.end();
    }
  }

  dispose(): void {
    try {
      this.stopServer("immediate");
    } finally {
      rmSync(this.#dir, { recursive: true, force: true });
    }
  }
}

/** Runs a program of PostgreSQL, as a user that it accepts. */
function run(program: string, ...args: readonly string[]): void {
  const command = [join(programs(), program), ...args];
  const [uid, gid] = isRoot() ? idsOf(SYSTEM_USER) : [0, 0];
  const argv = isRoot()
    ? ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", ...command]
    : command;
  // The server goes on after `pg_ctl` and keeps what it inherits: a pipe would never end.
  const result = Bun.spawnSync(argv, { cwd: tmpdir(), stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  if (!result.success) throw new Error(`${program} ended with ${result.exitCode}: ${argv.join(" ")}`);
}

function programs(): string {
  const newest = existsSync(VERSIONS)
    ? readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a))[0]
    : undefined;
  if (newest === undefined) throw new Error(`PostgreSQL is not installed: ${VERSIONS} is not there`);
  return join(VERSIONS, newest, "bin");
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function idsOf(user: string): [number, number] {
  const id = (flag: string) => Number(Bun.spawnSync(["id", flag, user]).stdout.toString().trim());
  return [id("-u"), id("-g")];
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address !== null && typeof address === "object"
          ? resolve(address.port)
          : reject(new Error("no port")),
      );
    });
  });
}
