/**
 * A WebSocket that only reads, at as little cost as possible: thousands of them share the machine with the server
 * that is measured. It knows what a server of ours sends: whole messages, and a close.
 */
import type { Target } from "./connection.ts";

const HEAD_END = "\r\n\r\n";
/** Any 16 bytes: nothing stands between here and the server that could take an answer for another's. */
const KEY = Buffer.alloc(16, 7).toString("base64");
const OPCODE_TEXT = 1;
const OPCODE_CLOSE = 8;

export interface SocketEvents {
  /** A message's bytes, valid during the call only. */
  onMessage(message: Buffer): void;
  /** The server ended it, or refused it. */
  onEnd(reason: string): void;
}

interface Frame {
  readonly opcode: number;
  readonly start: number;
  readonly end: number;
}

export class SocketReader {
  readonly #events: SocketEvents;
  #rest: Buffer | null = null;
  #isOpen = false;
  #isClosed = false;
  #socket: Bun.Socket<undefined> | null = null;

  private constructor(events: SocketEvents) {
    this.#events = events;
  }

  static async open(target: Target, path: string, events: SocketEvents): Promise<SocketReader> {
    const reader = new SocketReader(events);
    const handshake = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}${HEAD_END}`;
    reader.#socket = await Bun.connect({
      ...target,
      socket: {
        open: (socket) => void socket.write(handshake),
        data: (_socket, chunk) => reader.#read(chunk),
        close: () => reader.#end("the server closed the connection"),
        error: (_socket, error) => reader.#end(error.message),
      },
    });
    return reader;
  }

  /** Ends it from here; nothing is heard of it any more. */
  close(): void {
    this.#isClosed = true;
    this.#socket?.end();
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = this.#isOpen ? 0 : this.#readHead(bytes);
    while (this.#isOpen && !this.#isClosed) {
      const frame = frameAt(bytes, at);
      if (frame === null) break;
      const { opcode, start, end } = frame;
      at = end;
      if (opcode === OPCODE_TEXT) this.#events.onMessage(bytes.subarray(start, end));
      // The code is two bytes, the reason follows.
      else if (opcode === OPCODE_CLOSE) this.#end(bytes.toString("utf8", start + 2, end));
    }
    this.#rest = at === bytes.length ? null : Buffer.from(bytes.subarray(at));
  }

  /** Where the first frame begins; 0 as long as the head is not whole. */
  #readHead(bytes: Buffer): number {
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) return 0;
    if (!bytes.toString("latin1", 0, end).startsWith("HTTP/1.1 101")) this.#end(bytes.toString());
    this.#isOpen = true;
    return end + HEAD_END.length;
  }

  #end(reason: string): void {
    if (this.#isClosed) return;
    this.close();
    this.#events.onEnd(reason);
  }
}

/** The frame that begins at `at` and is there whole, else null. A server's frames carry no mask. */
function frameAt(bytes: Buffer, at: number): Frame | null {
  if (bytes.length < at + 2) return null;
  const opcode = bytes.readUInt8(at) & 15;
  const short = bytes.readUInt8(at + 1) & 127;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  const start = at + 2 + lengthBytes;
  if (bytes.length < start) return null;
  const length =
    lengthBytes === 0
      ? short
      : lengthBytes === 2
        ? bytes.readUInt16BE(at + 2)
        : Number(bytes.readBigUInt64BE(at + 2));
  return bytes.length < start + length ? null : { opcode, start, end: start + length };
}
