/**
 * Tokens of another issuer (a company's login service): checked against the keys that it publishes (JWKS,
 * RFC 7517), which are fetched when they are first needed, kept, and fetched anew when they are old or a
 * token names a key that is not among them.
 */
import { createRemoteJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import type { Logger } from "pino";
import { ForbiddenError, UnauthorizedError } from "../../dialects/requestErrors.ts";
import type { KeyRole } from "../../dialects/route.ts";
import { OverloadedError } from "../../domain/errors.ts";
import { KEY_ROLES } from "./apiKey.ts";
import { invalidTokenChallenge } from "./credentials.ts";
import type { TokenHolder } from "./tokens.ts";

export interface OutsideTokensOptions {
  /** What `iss` must be. */
  readonly issuer: string;
  /** What `aud` must be, or hold. */
  readonly audience: string;
  readonly jwksUrl: string;
  /** The claim with the role; a name with dots is also looked for inside: `realm_access.roles`. */
  readonly roleClaim: string;
  /** How far the issuer's clock may be off. */
  readonly clockSkewMs: number;
  readonly logger: Logger;
  readonly timers?: Partial<OutsideTokenTimers>;
}

/** When the issuer's keys are fetched. */
export interface OutsideTokenTimers {
  readonly fetchTimeoutMs: number;
  /** Keys older than this are fetched again: so long may a key be taken that the issuer withdrew. */
  readonly keysMaxAgeMs: number;
  /** Least time between two fetches for keys that tokens name and that are not there. */
  readonly unknownKeyPauseMs: number;
  /** How long the issuer is left alone after a fetch that failed. */
  readonly failurePauseMs: number;
}

export const DEFAULT_OUTSIDE_TOKEN_TIMERS: OutsideTokenTimers = {
  fetchTimeoutMs: 5_000,
  keysMaxAgeMs: 600_000,
  unknownKeyPauseMs: 30_000,
  failurePauseMs: 5_000,
};

/** Signatures that a public key checks. The others would let whoever can check a token make one. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
/** Of several roles the one that reaches furthest. */
const FURTHEST_FIRST: readonly KeyRole[] = ["admin", "submit", "work", "read"];

export class OutsideTokens {
  readonly #options: OutsideTokensOptions;
  readonly #timers: OutsideTokenTimers;
  readonly #keys: ReturnType<typeof createRemoteJWKSet>;
  #failedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: OutsideTokensOptions) {
    this.#options = options;
    this.#timers = { ...DEFAULT_OUTSIDE_TOKEN_TIMERS, ...options.timers };
    this.#keys = createRemoteJWKSet(new URL(options.jwksUrl), {
      timeoutDuration: this.#timers.fetchTimeoutMs,
      cacheMaxAge: this.#timers.keysMaxAgeMs,
      cooldownDuration: this.#timers.unknownKeyPauseMs,
    });
  }

  /** @throws UnauthorizedError, ForbiddenError, OverloadedError */
  async check(token: string): Promise<TokenHolder> {
    const payload = await this.#verify(token);
    const role = roleOf(payload, this.#options.roleClaim);
    if (role !== null)
      return { role, caller: `subject ${payload.sub ?? ""}`.slice(0, 200), binding: null, isOwn: false };
    const message = `the claim ${this.#options.roleClaim} of this token names no role; roles are ${KEY_ROLES.join(", ")}`;
    throw new ForbiddenError(null, [], message);
  }

  async #verify(token: string): Promise<JWTPayload> {
    const { issuer, audience, clockSkewMs, logger } = this.#options;
    // Before anything is fetched on behalf of somebody unknown.
    if (issuerOf(token) !== issuer) throw refused("the token is not of an issuer that is trusted here");
    if (!this.#keys.fresh && performance.now() < this.#failedAtMs + this.#timers.failurePauseMs) {
      throw this.#unavailable();
    }
    try {
      const { payload } = await jwtVerify(token, this.#keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: clockSkewMs / 1_000,
        requiredClaims: ["exp"],
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw refused("the token has expired");
      if (error instanceof errors.JWTClaimValidationFailed) {
        throw refused(`the token is not good here: its claim ${error.claim} does not fit`);
      }
      if (isFaultOfToken(error)) throw refused("the token is not signed by the issuer that is trusted here");
      this.#failedAtMs = performance.now();
      logger.warn({ err: error }, "the keys of the token issuer cannot be fetched");
      throw this.#unavailable();
    }
  }

  #unavailable(): OverloadedError {
    return new OverloadedError(
      "the token cannot be checked: the keys of its issuer cannot be fetched now",
      this.#timers.failurePauseMs,
    );
  }
}

const FAULTS_OF_TOKENS: readonly string[] = [
  errors.JWSInvalid.code,
  errors.JWTInvalid.code,
  errors.JWSSignatureVerificationFailed.code,
  errors.JWKSNoMatchingKey.code,
  errors.JWKSMultipleMatchingKeys.code,
  errors.JOSEAlgNotAllowed.code,
  errors.JOSENotSupported.code,
];

function isFaultOfToken(error: unknown): boolean {
  return error instanceof errors.JOSEError && FAULTS_OF_TOKENS.includes(error.code);
}

function refused(reason: string): UnauthorizedError {
  return new UnauthorizedError(invalidTokenChallenge(reason), reason);
}

function issuerOf(token: string): string | null {
  try {
    return decodeJwt(token).iss ?? null;
  } catch {
    return null;
  }
}

function roleOf(payload: JWTPayload, claim: string): KeyRole | null {
  const value = payload[claim] ?? claim.split(".").reduce<unknown>(fieldOf, payload);
  const named: readonly unknown[] = Array.isArray(value) ? value : [value];
  return FURTHEST_FIRST.find((role) => named.includes(role)) ?? null;
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}
