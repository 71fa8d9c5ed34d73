/** A Redis server of one's own: an empty folder, a free port, an append-only file. */

import { mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const PROGRAM = "redis-server";
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;

/** When Redis writes its append-only file through to the disk. */
export type Fsync = "always" | "everysec";

export interface RedisServer {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Whether the program is on the path. */
export function isRedisInstalled(): boolean {
  return Bun.which(PROGRAM) !== null;
}

/** Version of the program, for the notes of a run. */
export function redisVersion(): string {
  return /v=(\S+)/.exec(Bun.spawnSync([PROGRAM, "--version"]).stdout.toString())?.[1] ?? "unknown";
}

export async function startRedis(folder: string, fsync: Fsync): Promise<RedisServer> {
  const port = await freePort();
  const settings = {
    bind: "127.0.0.1",
    port: String(port),
    dir: mkdtempSync(join(folder, "redis-")),
    // The append-only file is what makes jobs durable; snapshots beside it would only cost.
    appendonly: "yes",
    appendfsync: fsync,
    save: "",
    // "The only setting that guarantees the correct behavior": https://docs.bullmq.io/guide/going-to-production
    "maxmemory-policy": "noeviction",
    loglevel: "warning",
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const child = Bun.spawn([PROGRAM, ...flags], { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(port))) {
    if (Date.now() > deadline || child.exitCode !== null) {
      child.kill("SIGKILL");
      throw new Error(`${PROGRAM} did not answer on port ${port}`);
    }
    await Bun.sleep(20);
  }
  return {
    port,
    pid: child.pid,
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
      await child.exited;
      clearTimeout(timer);
    },
  };
}

async function answers(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
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
