/** WebSockets that follow one log of ShelbyCompute, and note when each line came. */
import type { ServerProcess } from "./processes.ts";
import { lineNumberOf } from "./shelby.ts";
import { SocketReader } from "./socketReader.ts";

const ARRIVAL_TIMEOUT_MS = 60_000;

export class Followers {
  readonly #readers: SocketReader[] = [];
  readonly #heard: number[] = [];
  readonly #sentAt: number[] = [];
  #delaysMs: number[] = [];
  #awaited = 0;
  #arrived: PromiseWithResolvers<void> | null = null;
  #failure: Error | null = null;

  /** Resolves when each has its snapshot. */
  static async open(server: ServerProcess, paths: readonly string[]): Promise<Followers> {
    const followers = new Followers();
    const snapshots = followers.#await(paths.length);
    // Some at a time: a server takes so many connections at once and no more.
    for (let at = 0; at < paths.length; at += 100) {
      const some = paths.slice(at, at + 100).map((path, index) => followers.#open(server, path, at + index));
      followers.#readers.push(...(await Promise.all(some)));
    }
    await snapshots;
    return followers;
  }

  /** A line with this number goes out now. */
  sends(number: number): void {
    this.#sentAt[number] = performance.now();
  }

  /** Resolves when as many lines have come as `count`, over all readers, from now on. */
  arrivals(count: number): Promise<void> {
    return this.#await(count);
  }

  /** Times from sending to arrival since the last call of this, in milliseconds, one for each line and reader. */
  takeDelaysMs(): readonly number[] {
    const delays = this.#delaysMs;
    this.#delaysMs = [];
    return delays;
  }

  close(): void {
    for (const reader of this.#readers) reader.close();
  }

  #open(server: ServerProcess, path: string, index: number): Promise<SocketReader> {
    this.#heard[index] = 0;
    return SocketReader.open(server.target, path, {
      onMessage: (message) => this.#onMessage(index, message),
      onEnd: (reason) => this.#fail(new Error(`a follower was ended: ${reason}`)),
    });
  }

  #onMessage(index: number, message: Buffer): void {
    const heard = this.#heard[index] ?? 0;
    this.#heard[index] = heard + 1;
    // The first is the snapshot, with lines of before.
    if (heard > 0) {
      const sentAt = this.#sentAt[lineNumberOf(message) ?? -1];
      if (sentAt === undefined) return;
      this.#delaysMs.push(performance.now() - sentAt);
    }
    this.#awaited -= 1;
    if (this.#awaited === 0) this.#arrived?.resolve();
  }

  async #await(count: number): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    this.#awaited = count;
    const arrived = Promise.withResolvers<void>();
    this.#arrived = arrived;
    const timer = setTimeout(
      () => arrived.reject(new Error(`${this.#awaited} of ${count} messages did not come in time`)),
      ARRIVAL_TIMEOUT_MS,
    );
    try {
      await arrived.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#arrived?.reject(error);
  }
}
