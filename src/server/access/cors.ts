/**
 * Which pages of other sites may call this server from a browser (CORS). It stands outside authentication: a
 * preflight carries no key, and a page has to be able to read why it was refused.
 */
import { isLoopback } from "./allowedHosts.ts";

export interface CorsOptions {
  /** Origins such as `https://example.com`; `local` is every page that its reader's own machine serves, `*` every page. */
  readonly origins: readonly string[];
  /** `*` is whatever the page asks for. */
  readonly methods: readonly string[];
  /** `*` is whatever the page asks for. */
  readonly headers: readonly string[];
  /** Pages may let the browser add what it has stored. Not together with every origin. */
  readonly allowsCredentials: boolean;
  /** How long a browser may keep the answer to a preflight. */
  readonly maxAgeSeconds: number;
}

/** Headers of answers that a page may read beyond the few that it always may. */
const EXPOSED = [
  "Allow",
  "Accept-Ranges",
  "Content-Disposition",
  "Content-Length",
  "Content-Range",
  "Date",
  "ETag",
  "Location",
  "Retry-After",
  "WWW-Authenticate",
].join(", ");

export class Cors {
  readonly #options: CorsOptions;
  readonly #origins: ReadonlySet<string>;
  readonly #takesAll: boolean;
  readonly #takesLocal: boolean;

  constructor(options: CorsOptions) {
    this.#options = options;
    this.#origins = new Set(options.origins.map((origin) => origin.toLowerCase()));
    this.#takesAll = this.#origins.has("*");
    this.#takesLocal = this.#origins.has("local");
  }

  /** Says whether pages of that origin may call. */
  allows(origin: string): boolean {
    const name = origin.toLowerCase();
    return this.#takesAll || this.#origins.has(name) || (this.#takesLocal && isLocal(name));
  }

  /** False for a request whose answer is the same for every page: a program's that nothing keeps the answer of. */
  concerns({ method, headers }: Request): boolean {
    return method === "GET" || method === "HEAD" || headers.get("origin") !== null;
  }

  /** The answer to a preflight; null when the request is none. */
  preflight(request: Request): Response | null {
    const { headers } = request;
    const method = headers.get("access-control-request-method");
    if (headers.get("origin") === null || method === null) return null;
    const response = new Response(null, { status: 204 });
    this.sign(request, response);
    response.headers.append("vary", "Access-Control-Request-Method, Access-Control-Request-Headers");
    if (!response.headers.has("access-control-allow-origin")) return response;
    const { methods, headers: allowed, maxAgeSeconds } = this.#options;
    const asked = headers.get("access-control-request-headers");
    response.headers.set("access-control-allow-methods", methods.includes("*") ? method : methods.join(", "));
    const names = allowed.includes("*") ? asked : allowed.join(", ");
    if (names !== null && names !== "") response.headers.set("access-control-allow-headers", names);
    response.headers.set("access-control-max-age", String(maxAgeSeconds));
    return response;
  }

  /** Puts the headers on an answer that let the page read it. */
  sign(request: Request, response: Response): void {
    const { headers } = response;
    // What is answered depends on who asks, also where nobody does: a cache must know.
    if (!this.#takesAll) headers.append("vary", "Origin");
    const origin = request.headers.get("origin");
    if (origin === null || !this.allows(origin)) return;
    headers.set("access-control-allow-origin", this.#takesAll ? "*" : origin);
    headers.set("access-control-expose-headers", EXPOSED);
    // With every origin, any page that its reader opens could act under a login that the browser has stored.
    if (this.#options.allowsCredentials && !this.#takesAll) {
      headers.set("access-control-allow-credentials", "true");
    }
  }
}

/**
 * True for a page that came from the machine on which it is read, whatever the port: only names that no other
 * machine can have. Not for `localhost.example.com`, nor for a name that is bound to this machine.
 */
function isLocal(origin: string): boolean {
  const host = /^https?:\/\/([^/?#@]+?)(?::\d+)?$/.exec(origin)?.[1];
  return host !== undefined && (host === "[::1]" || isLoopback(host));
}
