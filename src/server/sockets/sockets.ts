/**
 * The WebSockets of all dialects: who may open one, how many there may be, and their end.
 *
 * Browsers cannot see why a handshake failed. So whoever is not let in gets an open socket that closes at once
 * with a code; only what must cost nothing (too many sockets, pages of other sites) is refused before that.
 */
import type { Server, WebSocketHandler } from "bun";
import type { Logger } from "pino";
import type { Dialect } from "../../dialects/dialect.ts";
import { CLOSE } from "../../dialects/socket.ts";
import { OverloadedError } from "../../domain/errors.ts";
import type { Cors } from "../access/cors.ts";
import { splitUrlToken } from "../access/credentials.ts";
import { refuseForeignPage } from "../access/foreignPage.ts";
import type { Gate } from "../access/gate.ts";
import { closingFor } from "./closing.ts";
import { Connection, type ConnectionLimits, type Refusal } from "./connection.ts";
import { FULL_RETRY_AFTER_MS, type OpenStreams } from "./openStreams.ts";
import { endsOf } from "./sendQueues.ts";
import { type SocketMatch, SocketPaths } from "./socketPaths.ts";

/** Limits of the WebSockets of one server. */
export interface SocketLimits extends ConnectionLimits {
  /** WebSockets, event streams and followed logs open at one time; more are refused with 503. */
  readonly maxOpenSockets: number;
  /** A peer that answers no ping for so long is gone. */
  readonly socketIdleTimeoutMs: number;
  /** Longest message from a client. Clients have little to say. */
  readonly maxSocketMessageBytes: number;
  /** How often it is looked whether the keys of open sockets and streams are still good, and who reads. */
  readonly socketCheckMs: number;
  /** What is longer than what may wait for one reader is sent while all, of whatever kind, hold less than this. */
  readonly maxAllSocketBufferBytes: number;
}

export const DEFAULT_SOCKET_LIMITS: SocketLimits = {
  maxOpenSockets: 10_000,
  socketIdleTimeoutMs: 60_000,
  maxSocketMessageBytes: 4_096,
  socketCheckMs: 5_000,
  maxSocketBufferBytes: 64 * 1_024,
  maxAllSocketBufferBytes: 256 * 1_024 * 1_024,
  socketStallMs: 10_000,
  socketCloseGraceMs: 5_000,
};

const INTERNAL: Refusal = {
  code: CLOSE.internal,
  reason: "something went wrong in the server; its log has the cause",
};

export interface SocketsOptions {
  readonly dialects: readonly Dialect[];
  readonly limits: SocketLimits;
  readonly gate: Gate;
  readonly cors: Cors | null;
  readonly logger: Logger;
  /** Counts them, and what they hold, with all else that lasts. */
  readonly streams: OpenStreams;
}

export class Sockets {
  readonly #paths: SocketPaths;
  readonly #options: SocketsOptions;
  readonly #open = new Set<Connection>();
  #isClosing = false;
  readonly #timer: Timer;

  constructor(options: SocketsOptions) {
    this.#options = options;
    this.#paths = new SocketPaths(options.dialects);
    this.#timer = setInterval(() => this.#check(), options.limits.socketCheckMs);
    this.#timer.unref();
  }

  /** The WebSocket that a request asks for; null for every other request. */
  find(request: Request): SocketMatch | null {
    // In this order: this is on the way of every request, and reading headers costs most.
    if (request.method !== "GET") return null;
    const match = this.#paths.find(pathOf(request.url));
    return match !== null && request.headers.get("upgrade")?.toLowerCase() === "websocket" ? match : null;
  }

  /** Opens the socket that was found. The answer is undefined when the request became a socket; never rejects. */
  async accept(
    request: Request,
    { route, dialect, params }: SocketMatch,
    server: Server<Connection>,
  ): Promise<Response | undefined> {
    const { limits, cors, logger, streams } = this.#options;
    let leave: () => void;
    try {
      refuseForeignPage(request, cors);
      if (this.#isClosing) throw new OverloadedError("this server is closing", FULL_RETRY_AFTER_MS);
      leave = streams.enter();
    } catch (error) {
      return dialect.errors(error);
    }
    try {
      const { search, token } = splitUrlToken(queryOf(request.url));
      const { role, refusal, mayGoOn } = await this.#admit(request, route.access ?? "read", server, token);
      const query = new URLSearchParams(search);
      const connection = new Connection({
        ...{ route, params, query, role, refusal, mayGoOn, limits, leave },
        allHeld: streams.held,
        progress: streams.watch(endsOf(request, server)),
      });
      if (server.upgrade(request, { data: connection })) return undefined;
      leave();
      return notAHandshake();
    } catch (error) {
      leave();
      logger.error({ path: pathOf(request.url), err: error }, "WebSocket failed");
      return dialect.errors(error);
    }
  }

  async #admit(
    request: Request,
    access: Parameters<Gate["admit"]>[1],
    server: Server<Connection>,
    token: string | null,
  ) {
    const { gate } = this.#options;
    try {
      return { ...(await gate.admitLasting(request, access, server, token)), refusal: null };
    } catch (error) {
      const refusal = closingFor(error);
      if (refusal === null) throw error;
      return { role: "anonymous" as const, mayGoOn: () => true, refusal };
    }
  }

  /** What `Bun.serve` calls. */
  get handler(): WebSocketHandler<Connection> {
    const { limits, logger } = this.#options;
    return {
      // Bun counts whole seconds, from 8 to 960, and pings by itself.
      idleTimeout: Math.min(960, Math.max(8, Math.ceil(limits.socketIdleTimeoutMs / 1_000))),
      maxPayloadLength: limits.maxSocketMessageBytes,
      // Never reached by what `Connection` sends: it holds less, and knows of it before anything is dropped.
      backpressureLimit: 0,
      perMessageDeflate: false,
      open: (socket) => this.#opened(socket.data, socket),
      // These streams run one way.
      message: () => {},
      drain: ({ data }) => data.drained(),
      close: ({ data }) => {
        this.#open.delete(data);
        data.ended();
      },
      error: (error, { data }) => {
        logger.error({ path: data.route.path, err: error }, "WebSocket failed");
        data.close(INTERNAL.code, INTERNAL.reason);
      },
    };
  }

  #opened(connection: Connection, socket: Parameters<Connection["opened"]>[0]): void {
    this.#open.add(connection);
    connection.opened(socket);
    const refusal = this.#isClosing ? GOING_AWAY : connection.refusal;
    if (refusal !== null) connection.close(refusal.code, refusal.reason);
    else void this.#serve(connection);
  }

  async #serve(connection: Connection): Promise<void> {
    try {
      await connection.route.open(connection);
    } catch (error) {
      const closing = closingFor(error);
      if (closing === null) {
        this.#options.logger.error({ path: connection.route.path, err: error }, "WebSocket failed");
      }
      const { code, reason } = closing ?? INTERNAL;
      connection.close(code, reason);
    }
  }

  /** Ends the sockets whose key is no longer good, and those whose readers stand still. */
  #check(): void {
    for (const connection of this.#open) {
      if (!connection.mayGoOn()) connection.close(REVOKED.code, REVOKED.reason);
      else void connection.dropIfStill();
    }
  }

  /** Ends all sockets, and every one that comes later. */
  closeAll(): void {
    this.#isClosing = true;
    clearInterval(this.#timer);
    for (const connection of this.#open) connection.close(GOING_AWAY.code, GOING_AWAY.reason);
  }
}

const REVOKED: Refusal = {
  code: CLOSE.unauthorized,
  reason: "the API key is no longer known here, or its role no longer reaches as far",
};
const GOING_AWAY: Refusal = { code: CLOSE.goingAway, reason: "the server is closing" };

function pathOf(url: string): string {
  const start = url.indexOf("/", 8);
  const end = url.indexOf("?", start);
  return end === -1 ? url.slice(start) : url.slice(start, end);
}

function queryOf(url: string): string {
  const start = url.indexOf("?");
  return start === -1 ? "" : url.slice(start + 1);
}

function notAHandshake(): Response {
  const detail = "this is not a WebSocket handshake of version 13";
  return Response.json(
    { detail },
    { status: 426, headers: { upgrade: "websocket", "sec-websocket-version": "13" } },
  );
}
