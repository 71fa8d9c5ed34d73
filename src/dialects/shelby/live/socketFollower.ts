/** A WebSocket that follows a stream. */
import type { SocketConnection } from "../../socket.ts";
import type { Follower, Message } from "./channel.ts";

/** Messages handed over at a time: more would be copied in vain for a reader without room. */
const BATCH = 256;

export class SocketFollower<D> implements Follower<D> {
  readonly #connection: SocketConnection;
  onRoom: (() => void) | null = null;

  constructor(connection: SocketConnection) {
    this.#connection = connection;
    connection.onRoom = () => this.onRoom?.();
  }

  /** Sends the first message. */
  begin(text: string): void {
    this.#connection.send([text]);
  }

  take(messages: readonly Message<D>[], from: number): number {
    for (let at = from; at < messages.length; at += BATCH) {
      const batch = messages.slice(at, at + BATCH).map(({ text }) => text);
      const taken = this.#connection.send(batch);
      if (taken < batch.length) return at - from + taken;
    }
    return messages.length - from;
  }

  end(code: number, reason: string): void {
    this.#connection.close(code, reason);
  }
}
