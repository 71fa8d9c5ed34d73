/** Yardmaster's servers as they are measured: one on SQLite, or some on one PostgreSQL database. */
import { mkdtempSync } from "node:fs";
import { join, resolve } from "node:path";

const MAIN = resolve(import.meta.dir, "../../src/cli/main.ts");
const STOP_TIMEOUT_MS = 20_000;

export interface YardmasterServer {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** @param store address of a PostgreSQL database; null for SQLite in the server's own folder */
export async function startYardmaster(folder: string, store: string | null): Promise<YardmasterServer> {
  const data = mkdtempSync(join(folder, "yardmaster-"));
  const flags = ["--quiet", "--json", "--listen", "127.0.0.1:0", "--data", data, "--log-level", "warn"];
  const child = Bun.spawn([process.execPath, MAIN, "serve", ...flags], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    cwd: folder,
    env: { ...process.env, ...(store === null ? {} : { YARDMASTER_STORE: store }) },
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGINT");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await child.exited;
    clearTimeout(timer);
  };
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  const url = /http:\/\/[^"]+/.exec(text)?.[0];
  if (url === undefined) {
    await stop();
    throw new Error(`the server did not say where it listens: ${text}`);
  }
  return { url, pid: child.pid, stop };
}
