/**
 * How many requests a caller may make: a token bucket each. A bucket holds the requests of one minute and fills
 * evenly, so that a caller who was quiet may make them all at once, and then one after the other.
 */

export interface RateLimiterOptions {
  readonly limitPerMinute: number;
  /** Buckets kept; beyond it the one that was used longest ago is dropped, which gives that caller a full one. */
  readonly maxCallers: number;
}

interface Bucket {
  tokens: number;
  /** When `tokens` was right, on the caller's clock. */
  at: number;
}

const MINUTE_MS = 60_000;

export class RateLimiter {
  readonly limitPerMinute: number;
  readonly #tokensPerMs: number;
  readonly #maxCallers: number;
  /** In the order of last use: the first one is dropped. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: RateLimiterOptions) {
    this.limitPerMinute = options.limitPerMinute;
    this.#tokensPerMs = options.limitPerMinute / MINUTE_MS;
    this.#maxCallers = options.maxCallers;
  }

  /** Buckets in memory. */
  get size(): number {
    return this.#buckets.size;
  }

  /**
   * Takes one request of `caller`.
   *
   * @param nowMs any clock that does not run backwards
   * @returns 0 when it is allowed, else milliseconds until the next one will be
   */
  take(caller: string, nowMs: number): number {
    const found = this.#buckets.get(caller);
    const bucket = found ?? { tokens: this.limitPerMinute, at: nowMs };
    if (found !== undefined) {
      bucket.tokens = Math.min(this.limitPerMinute, bucket.tokens + (nowMs - bucket.at) * this.#tokensPerMs);
      bucket.at = nowMs;
      this.#buckets.delete(caller);
    } else if (this.#buckets.size >= this.#maxCallers) {
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    }
    this.#buckets.set(caller, bucket);
    if (bucket.tokens < 1) return (1 - bucket.tokens) / this.#tokensPerMs;
    bucket.tokens -= 1;
    return 0;
  }
}
