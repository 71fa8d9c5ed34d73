/** A real server with ShelbyCompute's live streams over the real engine, and WebSockets that remember what they heard. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LiveLimits } from "../../../src/dialects/shelby/live/liveLimits.ts";
import { shelbyDialect } from "../../../src/dialects/shelby/shelbyDialect.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { openEngine } from "../../../src/engine/openEngine.ts";
import type { ServerLimits } from "../../../src/server/limits.ts";
import type { AccessOptions } from "../../../src/server/startServer.ts";
import { openDirectoryBlobStore } from "../../../src/store/blobs/directoryBlobStore.ts";
import { startTestServerWith } from "../../server/testServer.ts";

/** One message of a stream. */
export interface Wire {
  readonly type: string;
  readonly seq: number;
  readonly time: number;
  readonly data: {
    readonly jobId: string;
    readonly status: string;
    readonly line: string;
    readonly timestamp: number;
    readonly logs: readonly { readonly line: string; readonly timestamp: number }[];
    readonly nodes: readonly { readonly nodeId: string }[];
    readonly count: number;
    readonly nodeId: string;
    readonly activeNodes: number;
    readonly specs: Readonly<Record<string, unknown>>;
    readonly jobStats: Readonly<Record<string, number>>;
    readonly recentJobs: readonly { readonly jobId: string }[];
  };
}

/** Bun's WebSocket, which can do more than a browser's. */
interface BunSocket extends WebSocket {
  /** Cuts the connection without a word. */
  terminate(): void;
  /** Reads no more. */
  pause(): boolean;
  resume(): boolean;
}

/** A WebSocket with what came over it. */
export class Listener implements Disposable {
  readonly socket: BunSocket;
  readonly messages: Wire[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  #news: (() => void) | null = null;

  constructor(url: string, options?: Bun.WebSocketOptions) {
    this.socket = Reflect.construct(WebSocket, options === undefined ? [url] : [url, options]);
    this.socket.addEventListener("message", ({ data }) => {
      this.messages.push(JSON.parse(String(data)));
      this.#news?.();
    });
    this.closed = new Promise((resolve) => {
      this.socket.addEventListener("close", ({ code, reason }) => {
        resolve({ code, reason });
        this.#news?.();
      });
    });
  }

  /** Resolves when that holds for what was heard. */
  async until(what: string, isSo: (messages: readonly Wire[]) => boolean, timeoutMs = 20_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!isSo(this.messages)) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0)
        throw new Error(`not in time: ${what}; last: ${JSON.stringify(this.messages.at(-1))?.slice(0, 500)}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#news = resolve;
      const timer = setTimeout(resolve, Math.min(leftMs, 1_000));
      await promise;
      clearTimeout(timer);
    }
  }

  first(type: string): Promise<Wire> {
    return this.nth(type, 1);
  }

  async nth(type: string, n: number): Promise<Wire> {
    const found = () => this.messages.filter((message) => message.type === type)[n - 1];
    await this.until(`${n} of ${type}`, () => found() !== undefined);
    const message = found();
    if (message === undefined) throw new Error("gone");
    return message;
  }

  /** The lines of all messages, in order. */
  get lines(): string[] {
    return this.messages.flatMap(({ type, data }) => {
      if (type === "snapshot") return data.logs.map(({ line }) => line);
      return type === "log" ? [data.line] : [];
    });
  }

  [Symbol.dispose]() {
    this.socket.close();
  }
}

export interface LiveServer extends AsyncDisposable {
  readonly url: string;
  readonly engine: Engine;
  readonly errors: readonly string[];
  readonly faults: readonly unknown[];
  close(): Promise<void>;
  /** Opens a WebSocket on a path. */
  listen(path: string, options?: Bun.WebSocketOptions): Listener;
  /** Makes a job that waits for a node. */
  submit(...keys: readonly string[]): Promise<void>;
  /** A node takes the job and says so. */
  start(key: string, nodeId?: string): Promise<void>;
  finish(key: string, outcome?: "succeeded" | "failed"): Promise<void>;
  log(key: string, ...lines: readonly string[]): Promise<void>;
  register(nodeId: string, specs?: Readonly<Record<string, string | number>>): Promise<void>;
}

export async function startLive(
  options: {
    readonly live?: Partial<LiveLimits>;
    /** A PostgreSQL database; absent is a store of its own. */
    readonly storeUrl?: string;
    readonly limits?: Partial<ServerLimits>;
    readonly access?: AccessOptions;
    /** A node not heard from for so long is not active; absent is the dialect's own. */
    readonly nodeTimeoutMs?: number;
  } = {},
): Promise<LiveServer> {
  const dataDir = await mkdtemp(join(tmpdir(), "yardmaster-live-"));
  const engine = await openEngine({ dataDir, storeUrl: options.storeUrl ?? null });
  const faults: unknown[] = [];
  const blobs = await openDirectoryBlobStore(join(dataDir, "artifacts"));
  const dialect = shelbyDialect({
    ...{ engine, blobs, live: options.live ?? {} },
    ...(options.nodeTimeoutMs === undefined ? {} : { nodeTimeoutMs: options.nodeTimeoutMs }),
    onFault: (error) => faults.push(error),
  });
  const server = await startTestServerWith(engine, {
    dialects: [dialect],
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.access === undefined ? {} : { access: options.access }),
  });
  const register: LiveServer["register"] = async (nodeId, specs = {}) => {
    await engine.registerWorker({
      ...{ id: nodeId, name: nodeId, address: null, labels: {}, queues: ["shelby"], kinds: ["script"] },
      ...{ dialect: "shelby", details: { specs }, capacity: { cpu: 1, accelerators: 0, memoryMb: 0 } },
    });
  };
  return {
    url: server.url,
    engine,
    errors: server.errors,
    faults,
    register,
    close: () => server.server.close(),
    listen: (path, socketOptions) =>
      new Listener(`${server.url.replace("http", "ws")}${path}`, socketOptions),
    async submit(...keys) {
      const spec = {
        dataset: { name: "d", url: null, hash: null },
        script: null,
        requirements: "",
        entrypoint: "train.py",
        runtimeMinutesEstimate: 5,
        meta: {},
      };
      const jobs = keys.map((key) => ({
        ...{
          dialect: "shelby",
          key,
          kind: "script",
          queue: "shelby",
          name: "d",
          projectId: null,
          spec,
          task: null,
        },
        ...{
          priority: 0,
          resources: {},
          labels: {},
          requires: {},
          dependsOn: [],
          maxAttempts: 1,
          maxRecoveries: 3,
        },
        ...{ timeoutMs: null, runAt: null },
      })) as Parameters<Engine["submit"]>[0]["jobs"];
      await engine.submit({ jobs, idempotency: null });
    },
    async start(key, nodeId = "node-1") {
      await register(nodeId);
      await engine.edit(key, { state: "running", workerId: nodeId, leaseMs: 60_000, onlyFrom: ["ready"] });
    },
    async finish(key, outcome = "succeeded") {
      const { id, attempt, workerId } = await engine.read.job(key);
      await engine.finish({
        workerId: workerId ?? "",
        results: [{ id, attempt, outcome, exitCode: null, error: null, result: {}, startedAt: null }],
      });
    },
    async log(key, ...lines) {
      const time = Date.now();
      await engine.appendLines(lines.map((text) => ({ job: key, stream: "stdout" as const, text, time })));
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await engine.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
