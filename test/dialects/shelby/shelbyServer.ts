/** A real server with the ShelbyCompute API over the real engine; gone when the test's `using` ends. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shelbyDialect } from "../../../src/dialects/shelby/shelbyDialect.ts";
import type { ShelbySettings } from "../../../src/dialects/shelby/shelbySettings.ts";
import type { Engine, EngineSettings } from "../../../src/engine/engine.ts";
import { openEngine } from "../../../src/engine/openEngine.ts";
import type { AccessOptions } from "../../../src/server/startServer.ts";
import { openDirectoryBlobStore } from "../../../src/store/blobs/directoryBlobStore.ts";
import { startTestServerWith } from "../../server/testServer.ts";

/** The fields of answers that tests go on with; what an answer really holds is compared whole. */
export interface Wire {
  readonly jobId: string;
  readonly status: string;
  readonly job: Wire | null;
  readonly jobs: readonly Wire[];
  readonly count: number;
  readonly logs: readonly { readonly line: string; readonly timestamp: number }[];
  readonly nodes: readonly (Wire & { readonly nodeId: string; readonly specs: unknown })[];
  readonly lastSeen: number;
  readonly provenance: readonly { readonly record: Record<string, unknown>; readonly createdAt: number }[];
  readonly provenanceId: string;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly duration: number | null;
  readonly assignedNode: string | null;
  readonly modelHash: string | null;
  readonly metadata: Record<string, unknown> | null;
  readonly script: string;
  readonly jobStats: Readonly<Record<string, number>>;
  readonly detail: string | readonly Fault[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export interface Fault {
  readonly type: string;
  readonly loc: readonly unknown[];
  readonly msg: string;
  readonly input: unknown;
}

export interface Answer {
  readonly status: number;
  readonly body: Wire;
  /** The same, to be compared whole. */
  readonly json: unknown;
  readonly headers: Headers;
}

export interface ShelbyServer extends AsyncDisposable {
  readonly url: string;
  readonly engine: Engine;
  /** Lines that the server logged as errors. */
  readonly errors: string[];
  call(method: string, path: string, body?: unknown): Promise<Answer>;
  get(path: string): Promise<Answer>;
  post(path: string, body?: unknown): Promise<Answer>;
  delete(path: string): Promise<Answer>;
  /** Creates a job with a script, which is claimable at once; resolves to its id. */
  job(jobId: string, fields?: object): Promise<string>;
  poll(nodeId: string): Promise<string | null>;
  ack(nodeId: string, jobId: string, fields?: object): Promise<Answer>;
  finish(nodeId: string, jobId: string, fields?: object): Promise<Answer>;
  statusOf(jobId: string): Promise<string>;
}

export async function startShelby(
  options: {
    readonly dialect?: Partial<ShelbySettings>;
    readonly engine?: Partial<EngineSettings>;
    /** A PostgreSQL database; absent is a file of its own. */
    readonly storeUrl?: string;
    /** Folder of artifacts that several servers share; absent is one of its own. */
    readonly artifacts?: string;
    readonly access?: AccessOptions;
  } = {},
): Promise<ShelbyServer> {
  const dataDir = await mkdtemp(join(tmpdir(), "yardmaster-shelby-"));
  const { storeUrl = null, artifacts = join(dataDir, "artifacts") } = options;
  const engine = await openEngine({
    ...{ dataDir, storeUrl },
    ...(options.engine ? { settings: options.engine } : {}),
  });
  const blobs = await openDirectoryBlobStore(artifacts);
  const dialect = shelbyDialect({ engine, blobs, ...options.dialect });
  const server = await startTestServerWith(engine, {
    dialects: [dialect],
    ...(options.access ? { access: options.access } : {}),
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
  const done = async (path: string, body: unknown): Promise<void> => {
    const answer = await call("POST", path, body);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.json)}`);
  };
  return {
    url: server.url,
    engine,
    errors: server.errors,
    call,
    get: (path) => call("GET", path),
    post: (path, body) => call("POST", path, body),
    delete: (path) => call("DELETE", path),
    async job(jobId, fields = {}) {
      await done("/api/jobs/create", { jobId, datasetName: "MNIST", ...fields });
      await done("/api/jobs/upload-script", { jobId, script: "print(1)" });
      return jobId;
    },
    async poll(nodeId) {
      const { body } = await call("GET", `/api/jobs/poll?nodeId=${encodeURIComponent(nodeId)}`);
      return body.job?.jobId ?? null;
    },
    ack: (nodeId, jobId, fields = {}) => call("POST", "/api/jobs/ack", { nodeId, jobId, ...fields }),
    finish: (nodeId, jobId, fields = {}) =>
      call("POST", "/api/jobs/finish", {
        ...{ nodeId, jobId, modelHash: "abc123", modelSizeBytes: 1_024, metadata: {}, durationSeconds: 2.5 },
        ...fields,
      }),
    statusOf: async (jobId) =>
      (await call("GET", `/api/frontend/jobs/${encodeURIComponent(jobId)}`)).body.status,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      dialect.close();
      await engine.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Waits until something is so; fails after 20 seconds. */
export async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`);
    await Bun.sleep(20);
  }
}

/** A time as Unix seconds, of about now. */
export function isRecentSeconds(value: unknown): boolean {
  return Number.isInteger(value) && Math.abs(Number(value) - Date.now() / 1_000) < 60;
}
