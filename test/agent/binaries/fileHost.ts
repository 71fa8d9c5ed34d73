/** A web server that misbehaves as it is told: it speaks HTTP by hand, so that it can also break it. */
import { createServer, type Server, type Socket } from "node:net";

/** One request as it came. */
export interface Asked {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Writes an answer, or part of one. */
export type Answering = (socket: Socket, asked: Asked, count: number) => void | Promise<void>;

export class FileHost implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #answers = new Map<string, Answering>();

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => this.#serve(socket));
  }

  static async start(): Promise<FileHost> {
    const server = createServer();
    const host = new FileHost(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return host;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return address.port;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** How often a path was asked for. */
  count(path: string): number {
    return this.asked.filter((asked) => asked.path === path).length;
  }

  on(path: string, answering: Answering): string {
    this.#answers.set(path, answering);
    return this.url(path);
  }

  /** Serves bytes in good order, ranges included. */
  file(path: string, bytes: Uint8Array, more: { etag?: string; hasLength?: boolean } = {}): string {
    return this.on(path, (socket, asked) => serveFile(socket, asked, bytes, more));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((done) => this.#server.close(done));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      const [first = "", ...lines] = text.split("\r\n");
      text = "";
      const path = (first.split(" ")[1] ?? "").split("?")[0] ?? "";
      const headers = Object.fromEntries(
        lines
          .filter((line) => line !== "")
          .map((line) => {
            const cut = line.indexOf(":");
            return [line.slice(0, cut).toLowerCase(), line.slice(cut + 1).trim()];
          }),
      );
      const asked = { path, headers };
      this.asked.push(asked);
      const answering = this.#answers.get(path);
      if (answering === undefined) socket.end(head(404, { "content-length": "0" }));
      else void answering(socket, asked, this.count(path));
    });
  }
}

/** Status line and headers; the connection closes afterwards. */
export function head(status: number, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries({ connection: "close", ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return [`HTTP/1.1 ${status} X`, ...lines, "", ""].join("\r\n");
}

export function serveFile(
  socket: Socket,
  asked: Asked,
  bytes: Uint8Array,
  { etag, hasLength = true }: { etag?: string; hasLength?: boolean } = {},
): void {
  const tag: Record<string, string> = etag === undefined ? {} : { etag };
  const ifRange = asked.headers["if-range"];
  const start = /^bytes=(\d+)-$/.exec(asked.headers.range ?? "")?.[1];
  if (start !== undefined && (ifRange === undefined || ifRange === etag)) {
    const rest = bytes.subarray(Number(start));
    if (rest.length === 0) {
      socket.end(head(416, { "content-range": `bytes */${bytes.length}`, "content-length": "0" }));
      return;
    }
    const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    socket.write(head(206, { "content-length": String(rest.length), "content-range": range, ...tag }));
    socket.end(rest);
    return;
  }
  socket.write(head(200, { ...(hasLength ? { "content-length": String(bytes.length) } : {}), ...tag }));
  socket.end(bytes);
}
