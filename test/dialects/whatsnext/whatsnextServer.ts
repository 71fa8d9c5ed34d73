/** A real server with the WhatsNext API over the real engine; gone when the test's `using` ends. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whatsnextDialect } from "../../../src/dialects/whatsnext/whatsnextDialect.ts";
import type { WhatsNextSettings } from "../../../src/dialects/whatsnext/whatsnextSettings.ts";
import type { Engine, EngineSettings } from "../../../src/engine/engine.ts";
import { openEngine } from "../../../src/engine/openEngine.ts";
import { startTestServerWith } from "../../server/testServer.ts";

/** The fields of answers that tests go on with; what an answer really holds is compared whole. */
export interface Wire {
  readonly id: number;
  readonly status: string;
  readonly depends: Readonly<Record<string, string>>;
  readonly created_at: string;
  readonly updated_at: string;
  readonly last_heartbeat: string;
  readonly data: Wire;
  readonly job: Wire | null;
  readonly num_pending: number;
  readonly job_ids: readonly number[];
  readonly detail: string | readonly { readonly type: string; readonly loc: readonly unknown[] }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export interface Answer {
  readonly status: number;
  /** Parsed; null when there was none. */
  readonly body: Wire;
  /** The same, to be compared whole. */
  readonly json: unknown;
  readonly headers: Headers;
}

export interface WhatsNextServer extends AsyncDisposable {
  readonly url: string;
  readonly engine: Engine;
  /** Lines that the server logged as errors. */
  readonly errors: string[];
  /** Sends one request on a path, with a body as JSON; redirects are not followed. */
  call(method: string, path: string, body?: unknown): Promise<Answer>;
  get(path: string): Promise<Answer>;
  post(path: string, body?: unknown): Promise<Answer>;
  put(path: string, body: unknown): Promise<Answer>;
  delete(path: string): Promise<Answer>;
  /** A project with one task of no template; both have the id 1. */
  withTask(task?: object): Promise<void>;
  /** Creates a job of task 1 and resolves to its id. */
  job(fields?: object): Promise<number>;
  /** Status by job id, of all jobs asked for. */
  statuses(...ids: readonly number[]): Promise<string[]>;
}

export async function startWhatsNext(
  options: { readonly dialect?: Partial<WhatsNextSettings>; readonly engine?: Partial<EngineSettings> } = {},
): Promise<WhatsNextServer> {
  const dataDir = await mkdtemp(join(tmpdir(), "yardmaster-whatsnext-"));
  const engine = await openEngine({ dataDir, ...(options.engine ? { settings: options.engine } : {}) });
  const server = await startTestServerWith(engine, {
    dialects: [whatsnextDialect({ engine, ...options.dialect })],
  });
  const call = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const response = await fetch(`${server.url}${path}`, {
      method,
      redirect: "manual",
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const text = await response.text();
    const parsed = text === "" ? null : JSON.parse(text);
    return { status: response.status, body: parsed, json: parsed, headers: response.headers };
  };
  const created = async (path: string, body: unknown): Promise<Wire> => {
    const answer = await call("POST", path, body);
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  return {
    url: server.url,
    engine,
    errors: server.errors,
    call,
    get: (path) => call("GET", path),
    post: (path, body) => call("POST", path, body),
    put: (path, body) => call("PUT", path, body),
    delete: (path) => call("DELETE", path),
    async withTask(task = {}) {
      await created("/projects/", { name: "p" });
      await created("/tasks/", { name: "t", project_id: 1, ...task });
    },
    async job(fields = {}) {
      return (await created("/jobs/", { name: "j", project_id: 1, task_id: 1, ...fields })).id;
    },
    statuses: (...ids) => Promise.all(ids.map(async (id) => (await call("GET", `/jobs/${id}`)).body.status)),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await engine.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A time as the documents' clients can read it. */
export const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/;
