/**
 * Tokens: signed texts (JWT, RFC 7519) that stand for an API key for a short time, for places where a key
 * should not go, such as a web page or an address.
 *
 * A token is bound to its key: it ends when the key is revoked, and never reaches further than the key's
 * role is now.
 */
import { errors, jwtVerify, SignJWT } from "jose";
import { ForbiddenError, UnauthorizedError } from "../../dialects/requestErrors.ts";
import type { KeyRole } from "../../dialects/route.ts";
import { bindingOf, KEY_ROLES, type KnownKey } from "./apiKey.ts";
import { invalidTokenChallenge } from "./credentials.ts";
import type { OutsideTokens } from "./outsideTokens.ts";

/** Who a token stands for. */
export interface TokenHolder {
  readonly role: KeyRole;
  /** Names the holder where requests are counted. */
  readonly caller: string;
  /** What the token names its key by; null where it stands for none of this server's. */
  readonly binding: string | null;
  /** The token stands for the server's own key: no limit applies. */
  readonly isOwn: boolean;
}

/** A token as it was made. */
export interface NewToken {
  readonly token: string;
  readonly role: KeyRole;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export interface TokensOptions {
  /** At least 32 bytes. */
  readonly secret: Uint8Array;
  /** Finds a key by what `bindingOf` makes of it. */
  readonly findBound: (binding: string) => KnownKey | null;
  /** Tokens of another issuer; null takes none. */
  readonly outside: OutsideTokens | null;
  readonly clock?: () => number;
}

const ISSUER = "yardmaster";
const ALGORITHM = "HS256";
/** The binding of tokens made while the server asked for no key: good for nothing once it does. */
const UNBOUND = "none";

/** The roles that a key of that role may give to a token. */
export function rolesWithin(role: KeyRole): readonly KeyRole[] {
  return role === "admin" ? KEY_ROLES : role === "read" ? ["read"] : ["read", role];
}

/** Says whether a text has the form of a token: three parts in base64url. It need not be a good one. */
export function looksLikeToken(text: string): boolean {
  return text.startsWith("eyJ") && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);
}

export class Tokens {
  readonly #options: TokensOptions;
  readonly #clock: () => number;

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /** True where another issuer's tokens are taken: then every request needs a key or a token. */
  get isRequired(): boolean {
    return this.#options.outside !== null;
  }

  /**
   * Makes a token.
   *
   * @param key null on a server that asks for no key
   * @throws ForbiddenError when the role is above the key's
   */
  async issue(key: KnownKey | null, role: KeyRole, lifetimeSeconds: number): Promise<NewToken> {
    const allowed = rolesWithin(key?.role ?? "admin");
    if (!allowed.includes(role)) {
      const owned = key?.role ?? "admin";
      const message = `the role of this API key is ${owned}: its tokens can be ${allowed.join(" or ")}, not ${role}`;
      throw new ForbiddenError(owned, allowed, message);
    }
    const expiresAtSeconds = Math.floor(this.#clock() / 1_000) + lifetimeSeconds;
    const token = await new SignJWT({ role })
      .setProtectedHeader({ alg: ALGORITHM, typ: "JWT" })
      .setIssuer(ISSUER)
      .setAudience(ISSUER)
      .setSubject(key === null ? UNBOUND : bindingOf(key.digest))
      .setIssuedAt(Math.floor(this.#clock() / 1_000))
      .setExpirationTime(expiresAtSeconds)
      .sign(this.#options.secret);
    return { token, role, expiresAt: expiresAtSeconds * 1_000 };
  }

  /**
   * Finds who a token stands for. Signatures are compared in constant time.
   *
   * @throws UnauthorizedError for a token that is not good, or not any more; ForbiddenError for one without a role
   *   here; OverloadedError when the other issuer's keys cannot be had
   */
  async check(token: string): Promise<TokenHolder> {
    if (algorithmOf(token) !== ALGORITHM) {
      if (this.#options.outside === null) throw refused("the token was not made by this server");
      return this.#options.outside.check(token);
    }
    const { subject, role } = await this.#verify(token);
    const key = this.#options.findBound(subject);
    if (key === null) throw refused("the API key that this token was made with is no longer known here");
    if (!rolesWithin(key.role).includes(role)) {
      throw refused(`the API key that this token was made with is now of the role ${key.role}`);
    }
    return { role, caller: `key ${key.id}`, binding: subject, isOwn: key.isOwn };
  }

  async #verify(token: string): Promise<{ subject: string; role: KeyRole }> {
    try {
      const { payload } = await jwtVerify(token, this.#options.secret, {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        audience: ISSUER,
        requiredClaims: ["exp", "sub"],
        currentDate: new Date(this.#clock()),
      });
      const role = KEY_ROLES.find((candidate) => candidate === payload.role);
      if (role !== undefined && payload.sub !== undefined) return { subject: payload.sub, role };
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw refused("the token has expired; POST /v1/tokens makes another");
      }
      if (!(error instanceof errors.JOSEError)) throw error;
    }
    throw refused("the token was not made by this server, or was changed");
  }
}

function refused(reason: string): UnauthorizedError {
  return new UnauthorizedError(invalidTokenChallenge(reason), reason);
}

/** What the token says it is signed with; only a hint to who made it. Empty when it cannot be read. */
function algorithmOf(token: string): string {
  try {
    const header: unknown = JSON.parse(
      Buffer.from(token.slice(0, token.indexOf(".")), "base64url").toString(),
    );
    return typeof header === "object" && header !== null ? String(Reflect.get(header, "alg")) : "";
  } catch {
    return "";
  }
}
