/** One GET over redirects, each hop checked against the address rules, and the connection made to the address checked. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { errorText } from "../errorText.ts";
import { JobFault } from "../runner.ts";
import { systemCode } from "../systemCode.ts";
import { type AddressRules, checkAddress, checkUrl, hostOf } from "./addressRules.ts";
import { shownUrl } from "./shownUrl.ts";
import { credentialsFor, type OwnServer, type Source } from "./source.ts";

/** It may go better a little later. */
export class TransientError extends Error {
  override readonly name = "TransientError";
  /** Asked for by the server. */
  readonly retryAfterMs: number;
  constructor(message: string, retryAfterMs = 0) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

export interface RequestRules extends AddressRules {
  readonly maxRedirects: number;
}

export interface Answer {
  readonly response: Response;
  /** Where it came from, after redirects. */
  readonly url: URL;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Gets a URL.
 *
 * @param headers of every hop; credentials are added where they belong, and to no other place
 * @throws JobFault for an address that is refused and for too many redirects, TransientError when the other side
 * cannot be reached, the signal's reason
 */
export async function get(
  source: Source,
  headers: Readonly<Record<string, string>>,
  rules: RequestRules,
  server: OwnServer,
  signal: AbortSignal,
): Promise<Answer> {
  let { url } = source;
  let credentials = credentialsFor(source, server);
  for (let hops = 0; ; hops++) {
    const isOwnServer = source.isOwnServer && url.origin === source.url.origin;
    if (!isOwnServer) checkUrl(url, rules);
    const response = await send(url, { ...headers, ...credentials }, isOwnServer ? null : rules, signal);
    if (!REDIRECTS.has(response.status)) return { response, url };
    await response.body?.cancel().catch(() => {});
    if (hops >= rules.maxRedirects) {
      throw new JobFault(`${shownUrl(source.url)}: too many redirects (limit ${rules.maxRedirects})`);
    }
    const location = response.headers.get("location") ?? "";
    // An empty address would be this one again.
    const next = location === "" ? null : URL.parse(location, url);
    if (next === null) throw new JobFault(`${shownUrl(url)}: a redirect without an address to go to`);
    // A redirect may name a user of its own; ours go nowhere else.
    if (next.origin !== url.origin || next.username !== "") {
      credentials = credentialsFor({ url: next, isOwnServer: false }, server);
    }
    next.hash = "";
    url = next;
  }
}

async function send(
  url: URL,
  headers: Readonly<Record<string, string>>,
  rules: AddressRules | null,
  signal: AbortSignal,
): Promise<Response> {
  const host = hostOf(url);
  const target = new URL(url);
  target.username = "";
  target.password = "";
  const isName = isIP(host) === 0;
  const hasProxy = isProxied(url);
  if (isName && hasProxy) await checkThroughProxy(host, url, rules, signal);
  else if (isName) {
    const address = await resolved(host, url, rules, signal);
    // To the address that was checked, not to what the name stands for a moment later.
    target.hostname = isIP(address) === 6 ? `[${address}]` : address;
  }
  try {
    return await fetch(target, {
      headers: {
        ...headers,
        host: url.host,
        "accept-encoding": "identity",
        "user-agent": "yardmaster-agent",
      },
      redirect: "manual",
      decompress: false,
      keepalive: false,
      signal,
      ...(url.protocol === "https:" && isName && !hasProxy ? { tls: { serverName: host } } : {}),
    });
  } catch (error) {
    signal.throwIfAborted();
    const text = reasonOf(error);
    if (/CERT|SELF_SIGNED|ALTNAME|UNABLE_TO_VERIFY/i.test(text)) {
      throw new JobFault(`${shownUrl(url)}: the certificate of the other side is not trusted (${text})`);
    }
    throw new TransientError(`${shownUrl(url)}: ${text}`);
  }
}

/** Whether the environment names a proxy for such URLs. It wants names, and may connect to what we cannot resolve. */
function isProxied({ protocol }: URL): boolean {
  const name = protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  return [name, name.toLowerCase()].some((variable) => (process.env[variable] ?? "") !== "");
}

/** Refuses a name that stands for a refused address here; where it stands for none here, the proxy has to know. */
async function checkThroughProxy(
  host: string,
  url: URL,
  rules: AddressRules | null,
  signal: AbortSignal,
): Promise<void> {
  try {
    await resolved(host, url, rules, signal);
  } catch (error) {
    if (!(error instanceof TransientError)) throw error;
  }
}

/** An address of a name; all of them must be allowed, for the name's owner chooses which comes first. */
async function resolved(
  host: string,
  url: URL,
  rules: AddressRules | null,
  signal: AbortSignal,
): Promise<string> {
  const found = await untilAborted(lookup(host, { all: true }), signal).catch((error) => {
    signal.throwIfAborted();
    throw new TransientError(`${shownUrl(url)}: the name ${host} cannot be resolved (${reasonOf(error)})`);
  });
  if (rules !== null) for (const { address } of found) checkAddress(address, url, rules);
  const [first] = found.sort((a, b) => a.family - b.family);
  if (first === undefined) throw new TransientError(`${shownUrl(url)}: the name ${host} has no address`);
  return first.address;
}

/** What a promise gives, or the signal's reason as soon as it is aborted. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** What codes of broken connections mean. */
const REASONS = new Map([
  ["ECONNREFUSED", "nobody answers there (ECONNREFUSED)"],
  ["ConnectionRefused", "nobody answers there"],
  ["FailedToOpenSocket", "no connection can be made"],
  ["ECONNRESET", "the other side reset the connection"],
  ["ConnectionClosed", "the other side closed the connection"],
  ["EPIPE", "the other side closed the connection"],
  ["ETIMEDOUT", "the other side does not answer (ETIMEDOUT)"],
  ["ConnectionTimeout", "the other side does not answer"],
  ["Z_BUF_ERROR", "its encoded data has no end"],
  ["Z_DATA_ERROR", "its encoded data is damaged"],
]);

/** Words for what a connection failed with; never the address, which may hold a secret. */
export function reasonOf(error: unknown): string {
  const code = systemCode(error);
  if (code !== "") return REASONS.get(code) ?? code;
  // What follows is advice to programmers.
  const [text = ""] = errorText(error).split(" For more information, pass");
  return text.replaceAll(/"?https?:\/\/[^\s"]+"?/g, "the address");
}
