/**
 * A client that costs as little as possible, so that on a small machine the server is what is measured: raw
 * sockets that stay open, requests made of ready bytes, answers read as far as their length says.
 */

export interface Target {
  readonly hostname: string;
  readonly port: number;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const CONTENT_LENGTH = "content-length:";
/** Longest silence on a connection with a request under way. */
const ANSWER_TIMEOUT_MS = 60_000;

/** The bytes of one HTTP request. */
export function requestBytes(method: string, path: string, body: string | null): Uint8Array {
  const content =
    body === null ? "" : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${content}\r\n${body ?? ""}`);
}

/** Reads answers off one socket. Answers must carry `Content-Length`. */
class AnswerReader {
  #chunks: Buffer[] = [];
  #received = 0;
  #expected = -1;
  #headLength = 0;
  status = 0;

  /** Takes what arrived; true when the answer is whole. */
  take(chunk: Buffer): boolean {
    this.#received += chunk.length;
    if (this.#expected < 0) {
      const head = this.#chunks.length === 0 ? chunk : Buffer.concat([...this.#chunks, chunk]);
      this.#chunks = [head];
      const end = head.indexOf(HEAD_END);
      if (end < 0) return false;
      this.#headLength = end + HEAD_END.length;
      this.status = Number(head.toString("latin1", 9, 12));
      this.#expected = this.#headLength + contentLength(head, end);
    } else this.#chunks.push(chunk);
    return this.#received >= this.#expected;
  }

  /** Body of the whole answer; then the next one can be read. */
  body(): Buffer {
    const [first] = this.#chunks;
    const all = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks);
    return all.subarray(this.#headLength);
  }

  reset(): void {
    this.#chunks = [];
    this.#received = 0;
    this.#expected = -1;
  }
}

function contentLength(head: Buffer, end: number): number {
  const text = head.toString("latin1", 0, end).toLowerCase();
  const at = text.indexOf(CONTENT_LENGTH);
  if (at < 0) throw new Error(`an answer has no Content-Length: ${text.split("\r\n")[0]}`);
  return Number.parseInt(text.slice(at + CONTENT_LENGTH.length), 10);
}

/** Writes all of `bytes`, the rest when the socket has room again. */
class Sender {
  #rest: Uint8Array | null = null;

  send(socket: Bun.Socket<unknown>, bytes: Uint8Array): void {
    const written = socket.write(bytes);
    this.#rest = written < bytes.length ? bytes.subarray(Math.max(0, written)) : null;
  }

  drain(socket: Bun.Socket<unknown>): void {
    if (this.#rest !== null) this.send(socket, this.#rest);
  }
}

/** One connection, one request at a time. */
export class Connection {
  readonly #reader = new AnswerReader();
  readonly #sender = new Sender();
  #socket: Bun.Socket<undefined> | null = null;
  #waiting: PromiseWithResolvers<Buffer> | null = null;
  #accepted: readonly number[] = [];

  static async open(target: Target): Promise<Connection> {
    const connection = new Connection();
    connection.#socket = await Bun.connect({
      ...target,
      socket: {
        data: (_socket, chunk) => connection.#onData(chunk),
        drain: (socket) => connection.#sender.drain(socket),
        close: () => connection.#waiting?.reject(new Error("the server closed the connection")),
        error: (_socket, error) => connection.#waiting?.reject(error),
      },
    });
    return connection;
  }

  /** Sends ready bytes; resolves with the body. Rejects when the status is none of `accepted`. */
  request(bytes: Uint8Array, accepted: readonly number[] = [200, 201]): Promise<Buffer> {
    const socket = this.#socket;
    if (socket === null) throw new Error("the connection is closed");
    this.#accepted = accepted;
    this.#waiting = Promise.withResolvers<Buffer>();
    socket.timeout(ANSWER_TIMEOUT_MS / 1_000);
    this.#sender.send(socket, bytes);
    return this.#waiting.promise;
  }

  async json<T>(method: string, path: string, body: unknown): Promise<T> {
    const answer = await this.request(
      requestBytes(method, path, body === null ? null : JSON.stringify(body)),
    );
    return JSON.parse(answer.toString());
  }

  close(): void {
    this.#socket?.end();
    this.#socket = null;
  }

  #onData(chunk: Buffer): void {
    if (!this.#reader.take(chunk)) return;
    const body = Buffer.from(this.#reader.body());
    const { status } = this.#reader;
    this.#reader.reset();
    if (this.#accepted.includes(status)) this.#waiting?.resolve(body);
    else this.#waiting?.reject(new Error(`status ${status}: ${body.toString().slice(0, 300)}`));
  }
}

export interface LoadResult {
  readonly requests: number;
  readonly perSecond: number;
}

export interface LoadOptions {
  readonly connections: number;
  readonly durationMs: number;
  /** Of every answer. */
  readonly status: number;
  /** Sees each answer's body; it is valid during the call only. */
  readonly onAnswer?: (body: Buffer) => void;
}

/** Sends the same bytes over and over on `connections` connections for `durationMs`. */
export function load(target: Target, bytes: Uint8Array, options: LoadOptions): Promise<LoadResult> {
  return loadWith(target, () => bytes, options);
}

/** The same with requests of their own: a connection ends when `next` gives null, at the latest after `durationMs`. */
export async function loadWith(
  target: Target,
  next: () => Uint8Array | null,
  options: LoadOptions,
): Promise<LoadResult> {
  let requests = 0;
  let failure: Error | null = null;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  let open = options.connections;
  const startedAt = performance.now();
  const deadline = startedAt + options.durationMs;
  const step = (socket: Bun.Socket<unknown>, sender: Sender): void => {
    const bytes = failure !== null || performance.now() >= deadline ? null : next();
    if (bytes !== null) {
      sender.send(socket, bytes);
      return;
    }
    socket.end();
    open -= 1;
    if (open === 0) resolve();
  };
  const connectOne = (): Promise<unknown> => {
    const reader = new AnswerReader();
    const sender = new Sender();
    return Bun.connect({
      ...target,
      socket: {
        open: (socket) => step(socket, sender),
        drain: (socket) => sender.drain(socket),
        data(socket, chunk) {
          if (!reader.take(chunk)) return;
          requests += 1;
          if (reader.status !== options.status) {
            failure ??= new Error(`status ${reader.status}: ${reader.body().toString().slice(0, 300)}`);
          } else options.onAnswer?.(reader.body());
          reader.reset();
          step(socket, sender);
        },
        error: (_socket, error) => {
          failure ??= error;
          resolve();
        },
      },
    });
  };
  await Promise.all(Array.from({ length: options.connections }, connectOne));
  await done;
  if (failure !== null) throw failure;
  return { requests, perSecond: requests / ((performance.now() - startedAt) / 1_000) };
}
