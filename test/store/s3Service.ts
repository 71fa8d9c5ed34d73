/** An S3 service of one's own: a real process on a free port, its objects in a folder; ended and removed with the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { S3BucketOptions } from "../../src/store/blobs/s3Bucket.ts";

const PROGRAM = join(import.meta.dir, "../../node_modules/s3rver/bin/s3rver.js");
/** The keys that the service knows. */
export const LOGIN = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER", sessionToken: null } as const;
export const BUCKET = "artifacts";

export class S3Service {
  readonly #folder: string;
  #child: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;
  #endpoint = "";

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<S3Service> {
    const service = new S3Service(mkdtempSync(join(tmpdir(), "yardmaster-s3-")));
    await service.start();
    return service;
  }

  /** @param port another than 0 starts it again where it was */
  async start(port = 0): Promise<void> {
    const argv = ["-d", this.#folder, "-a", "127.0.0.1", "-p", String(port), "--configure-bucket", BUCKET];
    const child = Bun.spawn([process.execPath, PROGRAM, ...argv], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#child = child;
    const text = await listeningLine(child.stdout);
    const place = /listening on (\S+:\d+)/.exec(text)?.[1];
    if (place === undefined) throw new Error(`the S3 service did not start: ${text}`);
    this.#endpoint = `http://${place}`;
  }

  get endpoint(): string {
    return this.#endpoint;
  }

  /** Options of a bucket in it, in a hurry: tests shall not wait. */
  get bucket(): S3BucketOptions {
    return { bucket: BUCKET, endpoint: this.#endpoint, region: "us-east-1", login: LOGIN, retryPauseMs: 10 };
  }

  /** Bun's own client, to look from the side. */
  get client(): Bun.S3Client {
    return new Bun.S3Client({
      bucket: BUCKET,
      endpoint: this.#endpoint,
      region: "us-east-1",
      ...LOGIN,
      sessionToken: "",
    });
  }

  async stop(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** At the same address as before. */
  async restart(): Promise<void> {
    await this.start(Number(new URL(this.#endpoint).port));
  }

  async dispose(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Its first line; the rest, which tells of requests, is read and forgotten: the service would stumble over a closed pipe. */
function listeningLine(stdout: ReadableStream<Uint8Array>): Promise<string> {
  return new Promise((resolve) => {
    const decoder = new TextDecoder();
    let text = "";
    stdout
      .pipeTo(
        new WritableStream({
          write(chunk) {
            if (text.length < 1_000) text += decoder.decode(chunk, { stream: true });
            if (/listening on \S+:\d+/.test(text)) resolve(text);
          },
        }),
      )
      .finally(() => resolve(text));
  });
}

/** What stands between a store and the service for a moment: it answers itself, or null lets the request through. */
export type Hindrance = (request: Request, count: number) => Response | Promise<Response> | null;

/** A way to the service on which things go wrong. */
export function hinderedWay(endpoint: string, hindrance: Hindrance) {
  let count = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const hindered = hindrance(request, ++count);
      if (hindered !== null) return hindered;
      const { pathname, search } = new URL(request.url);
      return passOn(`${endpoint}${pathname}${search}`, request);
    },
  });
  return {
    endpoint: `http://127.0.0.1:${server.port}`,
    get count() {
      return count;
    },
    dispose: () => server.stop(true),
  };
}

/** Sends a request on to the service. */
export async function passOn(url: string, request: Request): Promise<Response> {
  const hasBody = request.method === "PUT" || request.method === "POST";
  return fetch(url, {
    method: request.method,
    headers: request.headers,
    ...(hasBody ? { body: await request.arrayBuffer() } : {}),
  });
}
