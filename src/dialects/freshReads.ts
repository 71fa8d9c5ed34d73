/**
 * Reads that many requests want at the same moment, shared without giving anybody old news: each caller gets
 * the value of a read that began after it asked. With one read under way and one to follow, any number of
 * connections cost two.
 */
export class FreshReads<Key, Value> {
  readonly #read: (key: Key) => Promise<Value>;
  readonly #running = new Map<Key, Promise<Value>>();
  /** Reads that begin when the one under way has ended. At most one for each key. */
  readonly #following = new Map<Key, Promise<Value>>();

  constructor(read: (key: Key) => Promise<Value>) {
    this.#read = read;
  }

  get(key: Key): Promise<Value> {
    const following = this.#following.get(key);
    if (following !== undefined) return following;
    const running = this.#running.get(key);
    if (running === undefined) return this.#begin(key);
    const next = () => {
      this.#following.delete(key);
      return this.#begin(key);
    };
    const promised = running.then(next, next);
    this.#following.set(key, promised);
    return promised;
  }

  #begin(key: Key): Promise<Value> {
    const running = this.#read(key);
    this.#running.set(key, running);
    const end = () => {
      if (this.#running.get(key) === running) this.#running.delete(key);
    };
    running.then(end, end);
    return running;
  }
}
