/** A real server with the Executr API over the real engine; gone when the test's `using` ends. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executrDialect } from "../../../src/dialects/executr/executrDialect.ts";
import type { ExecutrSettings } from "../../../src/dialects/executr/executrSettings.ts";
import type { Engine, EngineSettings } from "../../../src/engine/engine.ts";
import { openEngine } from "../../../src/engine/openEngine.ts";
import type { AccessOptions } from "../../../src/server/startServer.ts";
import { TestEngine } from "../../engine/testEngine.ts";
import { startTestServerWith } from "../../server/testServer.ts";

/** The fields of answers that tests go on with; what an answer really holds is compared whole. */
export interface Wire {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly executor_id: string;
  readonly exit_code: number;
  readonly error_message: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly last_heartbeat: string;
  readonly attempts: readonly { readonly executor_id: string; readonly status: string }[];
  readonly error: string;
  readonly context: Readonly<Record<string, unknown>>;
  readonly results: readonly { readonly job_id: string; readonly error: string }[];
  readonly errors: readonly { readonly job_id: string; readonly error: string }[];
  readonly jobs_by_status: Readonly<Record<string, number>>;
  readonly active_executors: number;
}

export interface Answer<T = Wire> {
  readonly status: number;
  /** Parsed; null when there was none. */
  readonly body: T;
  /** The same, to be compared whole. */
  readonly json: unknown;
  readonly text: string;
  readonly headers: Headers;
}

export type CallHeaders = Readonly<Record<string, string>>;

/** What the existing programs say of themselves. */
export const GO: CallHeaders = { "user-agent": "Go-http-client/1.1" };
/** A job's id that nothing has. */
export const NOBODY = "00000000-0000-4000-8000-000000000000";
export const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A submission, with these fields in place of the usual ones. */
export function aJob(fields: object = {}) {
  return {
    type: "data-processing",
    binary_url: "https://example.com/binary",
    binary_sha256: "ab".repeat(32),
    priority: "background",
    ...fields,
  };
}

/** Calls of one server, as any program makes them. */
export class Caller {
  readonly url: string;
  constructor(url: string) {
    this.url = url;
  }

  /** Sends one request below `/api/v1`, with a body as JSON. */
  async call<T = Wire>(
    method: string,
    path: string,
    body?: unknown,
    headers: CallHeaders = {},
  ): Promise<Answer<T>> {
    const raw = typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body);
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      ...(raw === undefined ? {} : { body: raw }),
      headers: { ...(raw === undefined ? {} : { "content-type": "application/json" }), ...headers },
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
    const parsed = isJson ? JSON.parse(text) : null;
    return { status: response.status, body: parsed, json: parsed, text, headers: response.headers };
  }

  get<T = Wire>(path: string, headers?: CallHeaders): Promise<Answer<T>> {
    return this.call("GET", path, undefined, headers);
  }
  post<T = Wire>(path: string, body?: unknown, headers?: CallHeaders): Promise<Answer<T>> {
    return this.call("POST", path, body, headers);
  }
  put(path: string, body?: unknown, headers?: CallHeaders): Promise<Answer> {
    return this.call("PUT", path, body, headers);
  }
  delete(path: string, headers?: CallHeaders): Promise<Answer> {
    return this.call("DELETE", path, undefined, headers);
  }

  /** Submits a job and resolves to its id. */
  async submit(fields?: object): Promise<string> {
    const answer = await this.post("/jobs", aJob(fields));
    if (answer.status !== 201) throw new Error(`submit: ${answer.status} ${answer.text}`);
    return answer.body.id;
  }
  /** Claims and resolves to the job's id; empty when there was none. */
  async claim(executor = "worker-1"): Promise<string> {
    const answer = await this.post("/jobs/claim", {
      executor_id: executor,
      executor_ip: `${executor}.local`,
    });
    if (answer.status === 204) return "";
    if (answer.status !== 200) throw new Error(`claim: ${answer.status} ${answer.text}`);
    return answer.body.id;
  }
  /** Submits a job and lets an executor claim it. */
  async running(fields?: object, executor?: string): Promise<string> {
    const id = await this.submit(fields);
    if ((await this.claim(executor)) !== id) throw new Error("another job was claimed");
    return id;
  }
  heartbeat(id: string, executor = "worker-1", headers?: CallHeaders): Promise<Answer> {
    return this.put(`/jobs/${id}/heartbeat`, { executor_id: executor }, headers);
  }
  complete(id: string, fields: object = {}, headers?: CallHeaders): Promise<Answer> {
    return this.put(`/jobs/${id}/complete`, { executor_id: "worker-1", ...fields }, headers);
  }
  fail(id: string, fields: object = {}, headers?: CallHeaders): Promise<Answer> {
    const body = { executor_id: "worker-1", exit_code: 1, error_message: "it broke", ...fields };
    return this.put(`/jobs/${id}/fail`, body, headers);
  }
  async job(id: string): Promise<Wire> {
    return (await this.get(`/jobs/${id}`)).body;
  }
}

export interface ExecutrServer extends AsyncDisposable {
  readonly api: Caller;
  readonly url: string;
  readonly engine: Engine;
  /** Lines that the server logged as errors. */
  readonly errors: string[];
}

export interface ExecutrServerOptions {
  readonly dialect?: Partial<ExecutrSettings>;
  readonly engine?: Partial<EngineSettings>;
  readonly access?: AccessOptions;
  /** A folder to keep; absent is one that goes with the server. */
  readonly dataDir?: string;
}

export async function startExecutr(options: ExecutrServerOptions = {}): Promise<ExecutrServer> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "yardmaster-executr-")));
  const engine = await openEngine({ dataDir, ...(options.engine ? { settings: options.engine } : {}) });
  const server = await startTestServerWith(engine, {
    dialects: [executrDialect({ engine, ...options.dialect })],
    ...(options.access ? { access: options.access } : {}),
  });
  return {
    api: new Caller(server.url),
    url: server.url,
    engine,
    errors: server.errors,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await engine.close();
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export interface TimedServer extends AsyncDisposable {
  readonly api: Caller;
  readonly engine: Engine;
  /** Moves the engine's clock, and lets the engine act on it. */
  pass(ms: number): Promise<void>;
}

/** The same over an engine whose clock the test moves. */
export async function startTimed(): Promise<TimedServer> {
  const timed = await TestEngine.open({ countedByName: ["executr"] });
  const { engine } = timed;
  const server = await startTestServerWith(engine, { dialects: [executrDialect({ engine })] });
  return {
    api: new Caller(server.url),
    engine,
    pass: (ms) => timed.pass(ms),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await timed.dispose();
    },
  };
}
