/** Lets a request to a route, or says why not: its key or token, the role of that, the pace of its caller. */
import { ForbiddenError, RateLimitedError, UnauthorizedError } from "../../dialects/requestErrors.ts";
import type { Access, KeyRole, Role } from "../../dialects/route.ts";
import { bindingOf } from "./apiKey.ts";
import { type AddressSource, callerAddress } from "./callerAddress.ts";
import { challengeFor, invalidTokenChallenge, keyOf } from "./credentials.ts";
import type { Keys } from "./keys.ts";
import { rolesFor } from "./permissions.ts";
import type { RateLimiter } from "./rateLimiter.ts";
import { looksLikeToken, type TokenHolder, type Tokens } from "./tokens.ts";

/** A request that passes with a token. */
export interface TokenAdmission {
  readonly role: Role;
  /** Names who holds the token. */
  readonly caller: string;
}

export class Gate {
  readonly #keys: Keys;
  readonly #tokens: Tokens;
  readonly #limiter: RateLimiter | null;

  /** @param limiter null where nobody is limited */
  constructor(keys: Keys, tokens: Tokens, limiter: RateLimiter | null) {
    this.#keys = keys;
    this.#tokens = tokens;
    this.#limiter = limiter;
  }

  /** False when every request may pass: nothing of it has to be read. */
  get isClosed(): boolean {
    return this.#isKeyRequired || this.#limiter !== null;
  }

  get #isKeyRequired(): boolean {
    return this.#keys.isRequired || this.#tokens.isRequired;
  }

  /**
   * The role under which the request passes: at once for keys, later for tokens, with who that is. Wrong keys count against their
   * address, so that guessing is slow where there is a limit.
   *
   * @param urlToken a token from the address, where the request is of a sort that may carry one there
   * @throws RateLimitedError, UnauthorizedError, ForbiddenError; OverloadedError where a token cannot be checked now
   */
  admit(
    request: Request,
    access: Access,
    addresses: AddressSource,
    urlToken: string | null = null,
  ): Role | Promise<TokenAdmission> {
    if (access === "open") return "anonymous";
    const isKeyRequired = this.#isKeyRequired;
    const text = isKeyRequired || this.#limiter !== null ? keyOf(request.headers) : null;
    const key = text === null ? null : this.#keys.find(text);
    if (isKeyRequired && key === null) {
      const token = text === null ? urlToken : looksLikeToken(text) ? text : null;
      if (token !== null) return this.#admitToken(token, request, access, addresses);
    }
    if (key?.isOwn !== true) this.#count(key === null ? null : `key ${key.id}`, request, addresses);
    if (!isKeyRequired) return "anonymous";
    if (text === null) throw new UnauthorizedError(challengeFor(request.headers));
    if (key === null) throw new ForbiddenError(null, []);
    return roleFor(access, key.role);
  }

  /**
   * The same for something that lasts, with a way to ask later whether it may go on: not when its key was revoked,
   * or is now of a role that does not reach as far. What lasts may outlive its token.
   */
  async admitLasting(
    request: Request,
    access: Access,
    addresses: AddressSource,
    urlToken: string | null,
  ): Promise<{ readonly role: Role; readonly mayGoOn: () => boolean }> {
    const admitted = await this.admit(request, access, addresses, urlToken);
    const role = typeof admitted === "string" ? admitted : admitted.role;
    return { role, mayGoOn: await this.lasting(request, access, role, urlToken) };
  }

  /** That way to ask, for what was admitted with that role. */
  async lasting(
    request: Request,
    access: Access,
    role: Role,
    urlToken: string | null,
  ): Promise<() => boolean> {
    if (access === "open") return () => true;
    if (role === "anonymous") return () => !this.#isKeyRequired;
    const binding = await this.#bindingOf(request, urlToken);
    return () => {
      const key = binding === null ? null : this.#keys.findBound(binding);
      return binding === null || (key !== null && rolesFor(access).includes(key.role));
    };
  }

  /** Names who sent a request that came without a token. */
  callerOf(request: Request, addresses: AddressSource): string {
    const text = keyOf(request.headers);
    const key = text === null ? null : this.#keys.find(text);
    return key === null ? `address ${callerAddress(request, addresses)}` : callerWith(bindingOf(key.digest));
  }

  async #bindingOf(request: Request, urlToken: string | null): Promise<string | null> {
    const text = keyOf(request.headers);
    const key = text === null ? null : this.#keys.find(text);
    if (key !== null) return bindingOf(key.digest);
    const token = text ?? urlToken;
    return token === null ? null : (await this.#tokens.check(token)).binding;
  }

  async #admitToken(
    token: string,
    request: Request,
    access: Access,
    addresses: AddressSource,
  ): Promise<TokenAdmission> {
    let holder: TokenHolder;
    try {
      if (!looksLikeToken(token)) {
        const reason = "an address can carry a token, which POST /v1/tokens makes, and not a key";
        throw new UnauthorizedError(invalidTokenChallenge(reason), reason);
      }
      holder = await this.#tokens.check(token);
    } catch (error) {
      this.#count(null, request, addresses);
      throw error;
    }
    if (!holder.isOwn) this.#count(holder.caller, request, addresses);
    const { role, binding, caller } = holder;
    return { role: roleFor(access, role), caller: binding === null ? caller : callerWith(binding) };
  }

  /** @param caller null counts the address */
  #count(caller: string | null, request: Request, addresses: AddressSource): void {
    if (this.#limiter === null) return;
    const name = caller ?? `address ${callerAddress(request, addresses)}`;
    const retryAfterMs = this.#limiter.take(name, performance.now());
    if (retryAfterMs > 0) throw new RateLimitedError(this.#limiter.limitPerMinute, retryAfterMs);
  }
}

/** The same on every server, for a key as for its tokens. */
function callerWith(binding: string): string {
  return `key ${binding}`;
}

function roleFor(access: Access, role: KeyRole): Role {
  const allowed = rolesFor(access);
  if (!allowed.includes(role)) throw new ForbiddenError(role, allowed);
  return role;
}
