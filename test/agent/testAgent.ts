/** Agents for tests: in this process, or in one of their own that can be killed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningAgent, startAgent } from "../../src/agent/agent.ts";
import type { AgentLog, LogFields } from "../../src/agent/agentLog.ts";
import type { AgentOptions } from "../../src/agent/agentOptions.ts";
import type { FakeServer } from "./fakeServer.ts";

/** Remembers what the agent said. */
export class RememberingLog implements AgentLog {
  readonly lines: string[] = [];
  info(message: string, fields?: LogFields): void {
    this.#add("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#add("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#add("error", message, fields);
  }
  #add(level: string, message: string, fields: LogFields = {}): void {
    this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  }
}

export interface TestAgent extends AsyncDisposable {
  readonly agent: RunningAgent;
  readonly log: RememberingLog;
  readonly stateDir: string;
}

/** A directory that goes when the test does. */
export function temporaryDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "yardmaster-agent-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Settings that make tests quick. */
export const QUICK: AgentOptions = {
  cpu: 2,
  memoryMb: 1_000,
  renewEveryMs: 50,
  graceMs: 200,
  flushTimeoutMs: 2_000,
  maxRetryPauseMs: 100,
  waitMs: 5_000,
};

/** Starts an agent in this process; it is stopped and its directory removed at the end of the test. */
export async function testAgent(server: FakeServer, options: AgentOptions = {}): Promise<TestAgent> {
  const directory = temporaryDirectory();
  const log = new RememberingLog();
  const stateDir = options.stateDir ?? directory.path;
  const starting = startAgent({ ...QUICK, serverUrl: server.url, stateDir, log, ...options });
  starting.catch(() => directory[Symbol.dispose]());
  const agent = await starting;
  return {
    agent,
    log,
    stateDir,
    async [Symbol.asyncDispose]() {
      await agent.stop();
      directory[Symbol.dispose]();
    },
  };
}

/** Starts an agent in a process of its own. */
export function agentProcess(options: AgentOptions, env: Record<string, string> = {}): Bun.Subprocess {
  return Bun.spawn(
    [process.execPath, join(import.meta.dir, "agentProcess.ts"), JSON.stringify({ ...QUICK, ...options })],
    {
      env: { ...process.env, ...env },
      stdio: ["ignore", "inherit", "ignore"],
    },
  );
}
