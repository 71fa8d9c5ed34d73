/** One WebSocket: bounds what waits for its reader, and ends it for sure. */
import type { ServerWebSocket } from "bun";
import type { Role } from "../../dialects/route.ts";
import { CLOSE, type SocketConnection, type SocketRoute } from "../../dialects/socket.ts";
import type { HeldBytes } from "./heldBytes.ts";
import type { ReaderProgress } from "./readerProgress.ts";

/** Limits of one WebSocket. */
export interface ConnectionLimits {
  /** What may wait in memory for one reader, beside the message that goes over it. */
  readonly maxSocketBufferBytes: number;
  /** A reader that takes nothing of what waits for it for so long is dropped. */
  readonly socketStallMs: number;
  /** A reader that is told to leave and takes nothing for so long is cut off. */
  readonly socketCloseGraceMs: number;
}

/** Why a caller is not let in; told once the socket is open, where browsers can see it. */
export interface Refusal {
  readonly code: number;
  readonly reason: string;
}

export interface ConnectionOptions {
  readonly route: SocketRoute;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly role: Role;
  readonly refusal: Refusal | null;
  /** Says whether the caller's key still lets it in. */
  readonly mayGoOn: () => boolean;
  readonly limits: ConnectionLimits;
  /** Counts what waits for the readers of all. */
  readonly allHeld: HeldBytes;
  readonly progress: ReaderProgress;
  /** Called when it is gone. */
  readonly leave: () => void;
}

/** What even a slow reader takes while its connection is closed. */
const REST_BYTES = 64 * 1_024;
/** RFC 6455 gives the reason 123 bytes. */
const MAX_REASON_BYTES = 123;

export class Connection implements SocketConnection {
  readonly route: SocketRoute;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly role: Role;
  readonly refusal: Refusal | null;
  readonly mayGoOn: () => boolean;
  onRoom: (() => void) | null = null;
  onEnd: (() => void) | null = null;
  readonly #limits: ConnectionLimits;
  readonly #allHeld: HeldBytes;
  readonly #progress: ReaderProgress;
  readonly #leave: () => void;
  /** What waited for the reader at the last look. */
  #held = 0;
  #socket: ServerWebSocket<Connection> | null = null;
  #isClosing = false;
  #sayGoodbye: (() => void) | null = null;

  constructor(options: ConnectionOptions) {
    this.route = options.route;
    this.params = options.params;
    this.query = options.query;
    this.role = options.role;
    this.refusal = options.refusal;
    this.mayGoOn = options.mayGoOn;
    this.#limits = options.limits;
    this.#allHeld = options.allHeld;
    this.#progress = options.progress;
    this.#leave = options.leave;
  }

  /** The handshake is done. */
  opened(socket: ServerWebSocket<Connection>): void {
    this.#socket = socket;
  }

  /** The socket has taken what waited. */
  drained(): void {
    this.#look();
    if (!this.#isClosing) this.onRoom?.();
  }

  /** The socket is gone. */
  ended(): void {
    this.#isClosing = true;
    this.#socket = null;
    this.#sayGoodbye = null;
    this.#look();
    this.#leave();
    this.#progress.ended();
    const { onEnd } = this;
    this.onRoom = null;
    this.onEnd = null;
    onEnd?.();
  }

  send(messages: readonly string[]): number {
    const socket = this.#socket;
    // Nobody is there to wait for: its owner will hear of the end.
    if (socket === null || this.#isClosing) return messages.length;
    const { maxSocketBufferBytes } = this.#limits;
    let taken = 0;
    let isRefused = false;
    // Small messages leave together: one system call for many.
    socket.cork(() => {
      for (const message of messages) {
        if (socket.getBufferedAmount() >= maxSocketBufferBytes) break;
        // A large one goes over what may wait for one reader: not for any number of them at the same time.
        isRefused = message.length > maxSocketBufferBytes && !this.#allHeld.hasRoom(message.length);
        if (isRefused) break;
        socket.send(message);
        taken++;
      }
    });
    this.#look();
    if (!isRefused) return taken;
    this.close(CLOSE.unavailable, "the server holds too much for readers that do not read; come back later");
    return messages.length;
  }

  /** Drops a reader that has taken nothing for too long. To be called now and then. */
  async dropIfStill(): Promise<void> {
    const { socketStallMs } = this.#limits;
    this.#look();
    if (this.#held === 0 || !(await this.#progress.isStill(socketStallMs))) return;
    this.#look();
    if (this.#held === 0) return;
    this.close(CLOSE.tooSlow, `the reader is too slow: it took nothing for ${socketStallMs} ms`);
  }

  #look(): void {
    const held = this.#socket?.getBufferedAmount() ?? 0;
    if (held < this.#held || this.#held === 0) this.#progress.moved();
    this.#allHeld.change(held - this.#held);
    this.#held = held;
  }

  close(code: number, reason: string): void {
    const socket = this.#socket;
    if (socket === null) return;
    if (this.#isClosing) {
      // The server closes: nobody has time any more.
      if (code === CLOSE.goingAway) this.#sayGoodbye?.();
      return;
    }
    this.#isClosing = true;
    const sayGoodbye = () => socket.close(code, shortened(reason));
    this.#sayGoodbye = sayGoodbye;
    // Bun closes a connection within seconds after that word. A client that then still answers a ping, which it finds
    // in what it has not read yet, would lose the rest, and the reason with it.
    if (code === CLOSE.tooSlow) this.#progress.leave(this.#limits.socketCloseGraceMs, sayGoodbye, REST_BYTES);
    else sayGoodbye();
  }
}

function shortened(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.byteLength <= MAX_REASON_BYTES) return reason;
  return bytes.toString("utf8", 0, MAX_REASON_BYTES - 3).replace(/\ufffd+$/, "");
}
