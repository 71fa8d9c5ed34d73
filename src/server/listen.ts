/** Opens the addresses of the server, with errors that say what to do. */
import type { Server, WebSocketHandler } from "bun";
import type { Connection } from "./sockets/connection.ts";

/** Where to listen. Port 0 takes a free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Another program has the port. */
export class PortInUseError extends Error {
  override readonly name = "PortInUseError";
  readonly host: string;
  readonly port: number;
  constructor({ host, port }: ListenAddress) {
    super(`${formatAddress({ host, port })} is in use by another program; choose another port`);
    this.host = host;
    this.port = port;
  }
}

/** The address cannot be listened on: not this machine's, or not permitted. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** `host:port`, with brackets around an IPv6 host. */
export function formatAddress({ host, port }: ListenAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

export interface ListenOptions {
  readonly idleTimeoutMs: number;
  readonly maxRequestBodyBytes: number;
  /** Undefined is the answer where the request became a WebSocket. */
  readonly fetch: (request: Request, server: Server<Connection>) => Promise<Response | undefined>;
  readonly websocket: WebSocketHandler<Connection>;
}

/** @throws PortInUseError, ListenError */
export function listen(address: ListenAddress, options: ListenOptions): Server<Connection> {
  try {
    return Bun.serve({
      hostname: address.host,
      port: address.port,
      // Bun counts whole seconds and takes at most 255.
      idleTimeout: Math.min(255, Math.ceil(options.idleTimeoutMs / 1_000)),
      maxRequestBodySize: options.maxRequestBodyBytes,
      development: false,
      // With `development: false` Bun shares the port with another process that does the same, and each
      // gets a part of the requests: a second server must be refused instead.
      reusePort: false,
      fetch: options.fetch,
      websocket: options.websocket,
    });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "EADDRINUSE") throw new PortInUseError(address);
    const reason = error instanceof Error ? error.message : String(error);
    throw new ListenError(`cannot listen on ${formatAddress(address)}: ${reason}`);
  }
}
