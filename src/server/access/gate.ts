/** Lets a request to a route, or says why not: its key, the key's role, the pace of its caller. */
import { ForbiddenError, RateLimitedError, UnauthorizedError } from "../../dialects/requestErrors.ts";
import type { Access, Role } from "../../dialects/route.ts";
import type { KnownKey } from "./apiKey.ts";
import { type AddressSource, callerAddress } from "./callerAddress.ts";
import { challengeFor, keyOf } from "./credentials.ts";
import type { Keys } from "./keys.ts";
import { rolesFor } from "./permissions.ts";
import type { RateLimiter } from "./rateLimiter.ts";

export class Gate {
  readonly #keys: Keys;
  readonly #limiter: RateLimiter | null;

  /** @param limiter null where nobody is limited */
  constructor(keys: Keys, limiter: RateLimiter | null) {
    this.#keys = keys;
    this.#limiter = limiter;
  }

  /** False when every request may pass: nothing of it has to be read. */
  get isClosed(): boolean {
    return this.#keys.isRequired || this.#limiter !== null;
  }

  /**
   * The role under which the request passes. Wrong keys count against their address, so that guessing is slow
   * where there is a limit.
   *
   * @throws RateLimitedError, UnauthorizedError, ForbiddenError
   */
  admit(request: Request, access: Access, addresses: AddressSource): Role {
    if (access === "open") return "anonymous";
    const areKeysRequired = this.#keys.isRequired;
    const text = areKeysRequired || this.#limiter !== null ? keyOf(request.headers) : null;
    const key = text === null ? null : this.#keys.find(text);
    if (this.#limiter !== null && key?.isOwn !== true) this.#count(this.#limiter, request, key, addresses);
    if (!areKeysRequired) return "anonymous";
    if (text === null) throw new UnauthorizedError(challengeFor(request.headers));
    if (key === null) throw new ForbiddenError(null, []);
    const allowed = rolesFor(access);
    if (!allowed.includes(key.role)) throw new ForbiddenError(key.role, allowed);
    return key.role;
  }

  #count(limiter: RateLimiter, request: Request, key: KnownKey | null, addresses: AddressSource): void {
    const caller = key === null ? `address ${callerAddress(request, addresses)}` : `key ${key.id}`;
    const retryAfterMs = limiter.take(caller, performance.now());
    if (retryAfterMs > 0) throw new RateLimitedError(limiter.limitPerMinute, retryAfterMs);
  }
}
