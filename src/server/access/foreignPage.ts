/**
 * Requests that a page of another site sends through somebody's browser. Browsers ask first (CORS) for most
 * of them, and are told no; these are the ones that they send unasked, with whatever login they have stored,
 * and to a server on the reader's own machine, which may have no keys.
 */
import type { Logger } from "pino";
import { ForeignPageError } from "../../dialects/requestErrors.ts";
import type { Cors } from "./cors.ts";

/**
 * To be called where a request changes something and has nothing about it that a browser asks first for.
 *
 * @throws ForeignPageError
 */
export function refuseForeignPage(request: Request, cors: Cors | null): void {
  const { headers } = request;
  const site = headers.get("sec-fetch-site");
  if (site === "same-origin" || site === "none") return;
  const origin = headers.get("origin");
  // Programs send neither header.
  if (site === null && origin === null) return;
  if (origin !== null && (cors?.allows(origin) || isOwn(origin, request.url))) return;
  throw new ForeignPageError(origin ?? site ?? "");
}

/** The scheme is left out: a proxy may speak TLS for this server. */
function isOwn(origin: string, url: string): boolean {
  const own = URL.parse(url)?.host;
  return own !== undefined && URL.parse(origin)?.host === own;
}

/** Sites that are told of; who invents more of them fills no log. */
const MAX_SITES = 20;
const MAX_ORIGIN_CHARACTERS = 300;

/** Tells the operator, once for each site, whose pages asked in vain: browsers tell their readers little. */
export class RefusedSites {
  readonly #logger: Logger;
  readonly #told = new Set<string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** To be called with a browser's question before a request (a preflight). */
  note({ headers }: Request, cors: Cors | null): void {
    const origin = headers.get("origin");
    if (origin === null || headers.get("access-control-request-method") === null) return;
    // No name that anybody could allow.
    if (origin === "" || origin === "null") return;
    if (cors?.allows(origin) || origin.length > MAX_ORIGIN_CHARACTERS) return;
    if (this.#told.has(origin) || this.#told.size >= MAX_SITES) return;
    this.#told.add(origin);
    this.#logger.warn(
      { origin },
      "a page of another site was refused; --cors-origin lets pages of a site call",
    );
  }
}
