/**
 * One bucket of an S3-compatible service: a few requests, each with a time limit and tried again where that may help.
 *
 * Addresses are signed by Bun's client and fetched here, since its own calls can be neither timed out nor cancelled.
 * What is too large for one request goes up in parts through that client. Keys stand in no error and no log line; the
 * signed addresses are never shown either.
 */
import { open } from "node:fs/promises";
import { faultOfAnswer, faultOfSilence, S3Fault } from "./s3Fault.ts";

export interface S3Login {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary keys. */
  readonly sessionToken: string | null;
}

export interface S3BucketOptions {
  readonly bucket: string;
  /** `http://127.0.0.1:9000`; null is the one of AWS in that region. */
  readonly endpoint: string | null;
  readonly region: string;
  readonly login: S3Login;
  /** Longest time of a request, its body included where the request carries one. */
  readonly requestTimeoutMs?: number;
  /** How long an upload's part or a download may stand still. */
  readonly idleTimeoutMs?: number;
  /** Tries of one request, the first included. */
  readonly maxTries?: number;
  /** Pause before the second try; it doubles with each further one. */
  readonly retryPauseMs?: number;
  /** Files up to this size go up in one request. */
  readonly partBytes?: number;
}

/** What an absent option is. */
export const DEFAULT_S3_OPTIONS = {
  requestTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  maxTries: 4,
  retryPauseMs: 200,
  partBytes: 16 * 1024 * 1024,
} as const;

/** A signed address is used at once. */
const SIGNED_FOR_SECONDS = 900;
/** The protocol's own limit is 10,000. */
const MAX_PARTS = 9_000;
const PARTS_AT_ONCE = 2;
const PART_UNIT_BYTES = 1024 * 1024;
const READ_BYTES = 1024 * 1024;
const MAX_ERROR_BYTES = 16 * 1024;
const LIST_AT_ONCE = 1_000;

type Method = "GET" | "HEAD" | "PUT" | "DELETE";

/** What the service tells of an object. */
export interface S3Object {
  readonly sizeBytes: number;
  /** When it was written, by the service's clock, in milliseconds since 1970. */
  readonly changedAt: number;
}

export class S3Bucket {
  readonly #client: Bun.S3Client;
  readonly #options: Required<S3BucketOptions>;

  constructor(options: S3BucketOptions) {
    this.#options = { ...DEFAULT_S3_OPTIONS, ...options };
    const { login, endpoint, region, bucket } = options;
    this.#client = new Bun.S3Client({
      bucket,
      region,
      accessKeyId: login.accessKeyId,
      secretAccessKey: login.secretAccessKey,
      // Always given: an absent one would be taken from the environment.
      endpoint: endpoint ?? `https://s3.${region}.amazonaws.com`,
      ...(login.sessionToken === null ? {} : { sessionToken: login.sessionToken }),
    });
  }

  /**
   * What is under the key; null when nothing is.
   * @throws S3Fault
   */
  async find(key: string): Promise<S3Object | null> {
    const answer = await this.#ask("HEAD", key);
    await answer.body?.cancel();
    if (answer.ok) {
      const changedAt = timeOf(answer.headers.get("last-modified") ?? undefined);
      return { sizeBytes: Number(answer.headers.get("content-length")), changedAt };
    }
    // Answers to HEAD have no body that would say what is missing: the key, or the bucket.
    const asked = await this.#ask("GET", key, { headers: { range: "bytes=0-0" } });
    const fault = await this.#faultOf(asked);
    if (fault === null || fault.code === "NoSuchKey" || fault.code === "404") return null;
    throw fault;
  }

  /**
   * Stores a small text.
   * @throws S3Fault
   */
  async putText(key: string, text: string): Promise<void> {
    await this.#put(key, text);
  }

  /**
   * Stores a file. It is there whole or not at all.
   * @throws S3Fault
   */
  async putFile(key: string, path: string, sizeBytes: number): Promise<void> {
    const { partBytes, bucket } = this.#options;
    if (sizeBytes <= partBytes) return this.#put(key, Bun.file(path));
    try {
      await this.#putParts(key, path, sizeBytes);
    } catch (error) {
      throw faultOfClient(error, bucket);
    }
    const stored = await this.find(key);
    if (stored?.sizeBytes !== sizeBytes) {
      throw new S3Fault(`the service has ${stored?.sizeBytes ?? 0} of ${sizeBytes} bytes`, "", true);
    }
  }

  /** The bytes from `start` (inclusive) to `end` (exclusive); a connection that is cut off is taken up where it ended. */
  read(key: string, start: number, end: number): ReadableStream<Uint8Array> {
    let at = start;
    let tries = 0;
    let download: Download | null = null;
    const drop = () => {
      download?.stop.abort();
      download = null;
    };
    const next = async (): Promise<Uint8Array> => {
      download ??= await this.#download(key, at, end);
      const { value } = await withinTime(download.reader.read(), this.#options.idleTimeoutMs);
      if (value === undefined) throw new S3Fault("the connection was cut off", "", true);
      return value.subarray(0, end - at);
    };
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        for (;;) {
          try {
            const bytes = await next();
            at += bytes.byteLength;
            tries = 0;
            controller.enqueue(bytes);
            if (at < end) return;
            drop();
            return controller.close();
          } catch (error) {
            drop();
            const fault = error instanceof S3Fault ? error : faultOfSilence(error);
            if (!fault.isPassing || ++tries >= this.#options.maxTries) return controller.error(fault);
            await this.#pause(tries);
          }
        }
      },
      cancel: drop,
    });
  }

  /**
   * Deletes what is under the key, if anything is. Asked once: another try would delete what was stored after the first.
   * @throws S3Fault also where it may have been deleted all the same
   */
  async remove(key: string): Promise<void> {
    const fault = await this.#faultOf(await this.#ask("DELETE", key, {}, new AbortController(), 1));
    if (fault !== null && fault.code !== "NoSuchKey") throw fault;
  }

  /**
   * A page of the objects whose keys begin so, and what to ask for the next one with; null there is the end.
   * @throws S3Fault
   */
  async list(
    prefix: string,
    from: string | null,
  ): Promise<{ objects: { key: string; changedAt: number }[]; next: string | null }> {
    const asked = { prefix, maxKeys: LIST_AT_ONCE, ...(from === null ? {} : { continuationToken: from }) };
    for (let tries = 1; ; tries++) {
      try {
        const found = await withinTime(this.#client.list(asked), this.#options.requestTimeoutMs);
        const objects = (found.contents ?? []).map(({ key, lastModified }) => ({
          key,
          changedAt: timeOf(lastModified),
        }));
        return { objects, next: found.isTruncated === true ? (found.nextContinuationToken ?? null) : null };
      } catch (error) {
        const fault = faultOfClient(error, this.#options.bucket);
        if (!fault.isPassing || tries >= this.#options.maxTries) throw fault;
        await this.#pause(tries);
      }
    }
  }

  async #put(key: string, body: Blob | string): Promise<void> {
    const answer = await this.#ask("PUT", key, { body });
    const fault = await this.#faultOf(answer);
    if (fault !== null) throw fault;
  }

  async #putParts(key: string, path: string, sizeBytes: number): Promise<void> {
    const { partBytes, maxTries, idleTimeoutMs } = this.#options;
    const smallest = Math.ceil(sizeBytes / MAX_PARTS / PART_UNIT_BYTES) * PART_UNIT_BYTES;
    const writer = this.#client.file(key).writer({
      partSize: Math.max(partBytes, smallest),
      queueSize: PARTS_AT_ONCE,
      retry: maxTries - 1,
    });
    const file = await open(path, "r");
    try {
      for (let at = 0; at < sizeBytes; ) {
        // A buffer of its own for each piece: the writer holds it until its part is full.
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, at);
        if (bytesRead === 0) throw new S3Fault("the file ended early", "", false);
        at += bytesRead;
        await withinTime(Promise.resolve(writer.write(buffer.subarray(0, bytesRead))), idleTimeoutMs);
        await withinTime(Promise.resolve(writer.flush()), idleTimeoutMs);
      }
      await withinTime(Promise.resolve(writer.end()), idleTimeoutMs);
    } catch (error) {
      // Otherwise the parts would stay, unseen and paid for.
      await Promise.resolve(writer.end(error instanceof Error ? error : new Error("given up"))).catch(
        () => {},
      );
      throw error;
    } finally {
      await file.close();
    }
  }

  async #download(key: string, start: number, end: number): Promise<Download> {
    const stop = new AbortController();
    const headers = { range: `bytes=${start}-${end - 1}` };
    const answer = await this.#ask("GET", key, { headers }, stop);
    const fault = await this.#faultOf(answer);
    if (fault !== null) throw fault;
    if (answer.body === null || (answer.status !== 206 && start > 0)) {
      stop.abort();
      throw new S3Fault("the service gives no ranges of bytes", "", false);
    }
    return { reader: answer.body.getReader(), stop };
  }

  /** Sends a request until it is answered with something that another try would not change. */
  async #ask(
    method: Method,
    key: string,
    init: { readonly headers?: Record<string, string>; readonly body?: Blob | string } = {},
    stop: AbortController = new AbortController(),
    maxTries: number = this.#options.maxTries,
  ): Promise<Response> {
    const { requestTimeoutMs } = this.#options;
    for (let tries = 1; ; tries++) {
      const isLast = tries >= maxTries;
      const trial = new AbortController();
      const onStop = () => trial.abort(stop.signal.reason);
      stop.signal.addEventListener("abort", onStop);
      const timer = setTimeout(() => trial.abort(new DOMException("", "TimeoutError")), requestTimeoutMs);
      try {
        const url = this.#client.presign(key, { method, expiresIn: SIGNED_FOR_SECONDS });
        const answer = await fetch(url, { method, ...init, signal: trial.signal, redirect: "manual" });
        if (isLast || (answer.status < 500 && answer.status !== 408 && answer.status !== 429)) return answer;
        await answer.body?.cancel();
      } catch (error) {
        stop.signal.removeEventListener("abort", onStop);
        if (isLast || stop.signal.aborted) throw faultOfSilence(error);
      } finally {
        clearTimeout(timer);
      }
      await this.#pause(tries);
    }
  }

  /** The fault that an answer tells of; null when it is none. */
  async #faultOf(answer: Response): Promise<S3Fault | null> {
    if (answer.ok) return null;
    const isShort = Number(answer.headers.get("content-length") ?? 0) <= MAX_ERROR_BYTES;
    const text = isShort
      ? await withinTime(answer.text(), this.#options.requestTimeoutMs).catch(() => "")
      : "";
    const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? "";
    return faultOfAnswer(answer.status, code, this.#options.bucket);
  }

  #pause(tries: number): Promise<void> {
    const pauseMs = this.#options.retryPauseMs * 2 ** (tries - 1);
    // Many that failed together shall not come back together.
    return Bun.sleep(pauseMs * (0.5 + Math.random() / 2));
  }
}

interface Download {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly stop: AbortController;
}

/** What an error of Bun's client means: its code is the service's, or that of the connection. */
function faultOfClient(error: unknown, bucket: string): S3Fault {
  if (error instanceof S3Fault) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const isAnswer = error instanceof Error && error.name === "S3Error" && !/^Connection|Socket/.test(code);
  return isAnswer ? faultOfAnswer(400, code, bucket) : faultOfSilence(error);
}

/** One that tells no time counts as written now: then it is never too old. */
function timeOf(text: string | undefined): number {
  const time = Date.parse(text ?? "");
  return Number.isNaN(time) ? Date.now() : time;
}

async function withinTime<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new DOMException("", "TimeoutError")), timeoutMs);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => {});
  }
}
