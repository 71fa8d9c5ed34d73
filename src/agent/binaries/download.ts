/**
 * Fills a file from a URL: tried again where that can help, continued where it broke off, within limits of time and
 * size. What the bytes are worth is for the caller to check.
 */
import type { FileHandle } from "node:fs/promises";
import { isDiskFull, MachineBusyError } from "../machineFault.ts";
import { JobFault } from "../runner.ts";
import { type ByteReader, encodingOf, readerOf } from "./contentEncoding.ts";
import { get, type RequestRules, reasonOf, TransientError, untilAborted } from "./request.ts";
import { shownUrl } from "./shownUrl.ts";
import type { OwnServer, Source } from "./source.ts";

export interface DownloadLimits extends RequestRules {
  /** Largest binary. */
  readonly maxBytes: number;
  /** All tries together. */
  readonly totalTimeoutMs: number;
  /** Without a single byte, connecting included. */
  readonly idleTimeoutMs: number;
  /** Tries in a row that bring nothing. */
  readonly maxTries: number;
  /** Pause after the first of them, doubled each time. */
  readonly firstPauseMs: number;
}

/** What a file on disk was filled with so far. */
export interface Partial {
  readonly sizeBytes: number;
  /** `ETag` or `Last-Modified` of what it was filled from; null where nothing says that a rest would fit to it. */
  readonly validator: string | null;
}

/** What a file was filled with. */
export interface Downloaded {
  readonly sizeBytes: number;
  /** It consists of several answers, which may have been of different versions. */
  readonly isPieced: boolean;
}

export interface DownloadEvents {
  /** The other side answers. `totalBytes` is the size of the whole, null where it does not say. */
  readonly onAnswer: (totalBytes: number | null, startBytes: number) => void | Promise<void>;
  /** What is written from now on belongs to this validator; called before the first such byte. */
  readonly onValidator: (validator: string | null) => void | Promise<void>;
  /** The disk is full. True when room was made and the write is worth another try. */
  readonly onDiskFull: (neededBytes: number) => Promise<boolean>;
  /** Where the file lies, and the setting by which an operator chooses that. */
  readonly place: { readonly folder: string; readonly setting: "state-dir" | "cache-dir" };
  /** A try failed, and another one follows. */
  readonly onRetry: (reason: string, pauseMs: number) => void;
}

const MAX_PAUSE_MS = 10_000;
const MAX_RETRY_AFTER_MS = 60_000;
const LATER = new Set([408, 425, 429]);

/** There is no such file (404, 410), or no such server: it never answered. */
export class UnavailableFault extends JobFault {}

/** The file is not what the server has any more: it must be filled from the beginning. */
class StartAnew extends Error {}

/**
 * Downloads into `file`, after the `partial` that is in it.
 *
 * @throws JobFault that says what is wrong with the address or the binary, MachineBusyError where the disk has no room
 * for it; the signal's reason
 */
export async function download(
  source: Source,
  file: FileHandle,
  partial: Partial,
  limits: DownloadLimits,
  server: OwnServer,
  events: DownloadEvents,
  signal: AbortSignal,
): Promise<Downloaded> {
  const total = new AbortController();
  const timer = setTimeout(
    () =>
      total.abort(
        new JobFault(
          `${shownUrl(source.url)}: not downloaded within ${limits.totalTimeoutMs} ms (download-timeout-ms)`,
        ),
      ),
    Math.min(limits.totalTimeoutMs, 2 ** 31 - 1),
  );
  try {
    const one = new Download(source, file, partial, limits, server, events);
    return await one.run(AbortSignal.any([signal, total.signal]));
  } finally {
    clearTimeout(timer);
  }
}

class Download {
  readonly #source: Source;
  readonly #file: FileHandle;
  readonly #limits: DownloadLimits;
  readonly #server: OwnServer;
  readonly #events: DownloadEvents;
  #sizeBytes: number;
  #validator: string | null;
  #isPieced: boolean;
  #wasAnswered = false;

  constructor(
    source: Source,
    file: FileHandle,
    partial: Partial,
    limits: DownloadLimits,
    server: OwnServer,
    events: DownloadEvents,
  ) {
    this.#source = source;
    this.#file = file;
    this.#limits = limits;
    this.#server = server;
    this.#events = events;
    this.#sizeBytes = partial.sizeBytes;
    this.#validator = partial.validator;
    this.#isPieced = partial.sizeBytes > 0;
  }

  async run(signal: AbortSignal): Promise<Downloaded> {
    const { maxTries } = this.#limits;
    let fruitless = 0;
    for (;;) {
      const before = this.#sizeBytes;
      try {
        await this.#try(signal);
        return { sizeBytes: this.#sizeBytes, isPieced: this.#isPieced };
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof StartAnew) {
          await this.#empty();
          fruitless += 1;
          if (fruitless >= maxTries) throw new JobFault(`${this.#shown}: it changes while it is downloaded`);
          continue;
        }
        if (!(error instanceof TransientError)) throw error;
        fruitless = this.#sizeBytes > before ? 1 : fruitless + 1;
        if (fruitless >= maxTries) {
          const Fault = this.#wasAnswered ? JobFault : UnavailableFault;
          throw new Fault(`${error.message} (given up after ${fruitless} tries in a row)`);
        }
        const pauseMs = this.#pauseMs(fruitless, error.retryAfterMs);
        this.#events.onRetry(error.message, pauseMs);
        await pause(pauseMs, signal);
      }
    }
  }

  get #shown(): string {
    return shownUrl(this.#source.url);
  }

  async #try(outer: AbortSignal): Promise<void> {
    const idle = new AbortController();
    const { idleTimeoutMs } = this.#limits;
    const stalled = (): void =>
      idle.abort(new TransientError(`${this.#shown}: nothing came for ${idleTimeoutMs} ms`));
    let timer = setTimeout(stalled, idleTimeoutMs);
    const alive = (): void => {
      clearTimeout(timer);
      timer = setTimeout(stalled, idleTimeoutMs);
    };
    const signal = AbortSignal.any([outer, idle.signal]);
    try {
      const answer = get(this.#source, this.#rangeHeaders(), this.#limits, this.#server, signal);
      const { response } = await untilAborted(answer, signal);
      const encoding = response.ok ? encodingOf(response, this.#source.url) : null;
      const reader = response.body === null ? undefined : readerOf(response.body, encoding);
      try {
        const endBytes = await this.#begin(response, encoding !== null);
        await this.#receive(reader, endBytes, signal, alive, () => clearTimeout(timer));
      } catch (error) {
        // The server counts other bytes than those that we have: it cannot go on after them.
        if (encoding !== null) await this.#empty();
        throw error;
      } finally {
        reader?.cancel().catch(() => {});
      }
    } finally {
      clearTimeout(timer);
      idle.abort();
    }
  }

  #rangeHeaders(): Record<string, string> {
    if (this.#sizeBytes === 0) return {};
    const ifRange = this.#validator === null ? {} : { "if-range": this.#validator };
    return { range: `bytes=${this.#sizeBytes}-`, ...ifRange };
  }

  /** Reads the answer's head. Returns the size of the whole, null where it is not told. */
  async #begin(response: Response, isEncoded: boolean): Promise<number | null> {
    const { status } = response;
    this.#wasAnswered = true;
    if (status === 416 && this.#sizeBytes > 0) {
      const size = Number(/^bytes \*\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]);
      if (size === this.#sizeBytes) return size;
      throw new StartAnew();
    }
    if (status >= 500 || LATER.has(status)) {
      throw new TransientError(`${status} from ${this.#shown}`, retryAfterMs(response));
    }
    if (status === 404 || status === 410) throw new UnavailableFault(`${status} from ${this.#shown}`);
    if (status !== 200 && status !== 206) throw new JobFault(`${status} from ${this.#shown}`);
    const length = response.headers.get("content-length");
    const lengthBytes = length !== null && /^\d+$/.test(length) ? Number(length) : null;
    let totalBytes: number | null;
    if (status === 206) {
      const [, start, end] =
        /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "") ?? [];
      this.#isPieced = true;
      if (isEncoded || this.#sizeBytes === 0 || Number(start) !== this.#sizeBytes) throw new StartAnew();
      totalBytes = end === undefined || end === "*" ? null : Number(end);
    } else {
      if (this.#sizeBytes > 0) await this.#empty();
      totalBytes = isEncoded ? null : lengthBytes;
      this.#validator = isEncoded ? null : validatorOf(response);
      await this.#events.onValidator(this.#validator);
    }
    if (totalBytes !== null) await this.#checkSize(totalBytes);
    await this.#events.onAnswer(totalBytes, this.#sizeBytes);
    return totalBytes;
  }

  async #receive(
    reader: ByteReader | undefined,
    endBytes: number | null,
    signal: AbortSignal,
    alive: () => void,
    rest: () => void,
  ): Promise<void> {
    while (endBytes === null || this.#sizeBytes < endBytes) {
      const next = reader === undefined ? undefined : await this.#read(reader, signal);
      if (next === undefined || next.done === true || next.value === undefined) break;
      const { value } = next;
      await this.#checkSize(this.#sizeBytes + value.length);
      // A slow disk is not the server's fault.
      rest();
      await this.#write(value, (endBytes ?? 0) - this.#sizeBytes);
      alive();
      signal.throwIfAborted();
    }
    if (endBytes !== null && this.#sizeBytes < endBytes) {
      throw new TransientError(
        `${this.#shown}: the connection ended after ${this.#sizeBytes} of ${endBytes} bytes`,
      );
    }
  }

  async #read(reader: ByteReader, signal: AbortSignal) {
    try {
      return await untilAborted(reader.read(), signal);
    } catch (error) {
      signal.throwIfAborted();
      // Of what came just before the end some may have been lost with it.
      const kept = this.#sizeBytes === 0 ? "" : `; ${this.#sizeBytes} bytes were kept`;
      throw new TransientError(`${this.#shown}: the answer broke off: ${reasonOf(error)}${kept}`);
    }
  }

  async #checkSize(bytes: number): Promise<void> {
    const { maxBytes } = this.#limits;
    if (bytes <= maxBytes) return;
    await this.#empty();
    throw new JobFault(
      `${this.#shown}: larger than the limit of ${maxBytes} bytes (max-binary-bytes, cache-bytes)`,
    );
  }

  async #write(bytes: Uint8Array, missingBytes: number): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      try {
        const { bytesWritten } = await this.#file.write(
          bytes,
          written,
          bytes.length - written,
          this.#sizeBytes,
        );
        written += bytesWritten;
        this.#sizeBytes += bytesWritten;
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        const neededBytes = Math.max(missingBytes - written, bytes.length - written);
        if (!(await this.#events.onDiskFull(neededBytes))) {
          await this.#empty();
          const { folder, setting } = this.#events.place;
          const message = `no space is left on the agent's disk for ${this.#shown} (${setting})`;
          throw new MachineBusyError(message, { folder, mayBeTheJobs: true });
        }
      }
    }
  }

  async #empty(): Promise<void> {
    await this.#file.truncate(0);
    this.#sizeBytes = 0;
    this.#validator = null;
    this.#isPieced = false;
  }

  #pauseMs(fruitless: number, askedMs: number): number {
    const ceiling = Math.min(MAX_PAUSE_MS, this.#limits.firstPauseMs * 2 ** Math.min(fruitless - 1, 16));
    const jittered = ceiling / 2 + (Math.random() * ceiling) / 2;
    return Math.round(Math.max(jittered, Math.min(askedMs, MAX_RETRY_AFTER_MS)));
  }
}

/** A strong ETag, else the time of the last change; null where neither is there. */
function validatorOf(response: Response): string | null {
  const etag = response.headers.get("etag");
  if (etag !== null && /^"[^"\r\n]*"$/.test(etag)) return etag;
  return response.headers.get("last-modified");
}

/** `Retry-After` in either of its forms. */
function retryAfterMs(response: Response): number {
  const text = response.headers.get("retry-after");
  if (text === null) return 0;
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  const timeMs = Date.parse(text);
  return Number.isNaN(timeMs) ? 0 : Math.max(0, timeMs - Date.now());
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waited = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return untilAborted(waited, signal).finally(() => clearTimeout(timer));
}
