/**
 * The names under which a server without keys answers on its own machine. A page can bind its site's name to
 * 127.0.0.1 after it was loaded (DNS rebinding): to the browser its requests to the server here are then requests
 * to its own site. The `Host` header still holds that name. An address cannot be bound, nor can `localhost`.
 */
import { ForeignPageError } from "../../dialects/requestErrors.ts";

/** A request under a name that is not this server's; worded by every API as pages of other sites are. */
export class ForeignHostError extends ForeignPageError {
  constructor(host: string) {
    super(host);
    this.message =
      `this server has no API keys and does not answer as ${JSON.stringify(host.slice(0, 200))}: a page of another site ` +
      "could have sent this. --allowed-host allows a name, as a proxy in front of the server passes it on";
  }
}

export class AllowedHosts {
  readonly #names: ReadonlySet<string>;
  readonly #allowsAll: boolean;
  /** Callers use few names: the last one that was allowed is not looked at again. */
  #lastAllowed: string | null = null;

  /** @param names names of hosts without a port, in any case; `*` is every name */
  constructor(names: readonly string[]) {
    this.#names = new Set(["localhost", ...names.map(plainName)]);
    this.#allowsAll = names.includes("*");
  }

  /** @throws ForeignHostError */
  check(request: Request): void {
    if (this.#allowsAll) return;
    const host = request.headers.get("host");
    // Browsers always say whom they mean.
    if (host === null || host === "" || host === this.#lastAllowed) return;
    const name = host.replace(/:\d*$/, "");
    if (!isAddress(name) && !this.#names.has(plainName(name))) throw new ForeignHostError(host);
    this.#lastAllowed = host;
  }
}

/** True when only programs on the same machine can reach what listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/** An IPv6 address in brackets, or an IPv4 address: browsers write every form of one with four numbers. */
function isAddress(name: string): boolean {
  return /^\[[0-9a-f:.%]+\]$/i.test(name) || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

/** The dot at the end of a full name says nothing more. */
function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
