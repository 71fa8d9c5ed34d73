/**
 * Which addresses an agent downloads from. Whoever submits a job chooses its URL, and the agent may reach what they
 * cannot: the metadata service of a cloud, which hands out the machine's own credentials, is the usual target.
 */
import { BlockList, isIP, isIPv6 } from "node:net";
import { JobFault } from "../runner.ts";
import { shownUrl } from "./shownUrl.ts";

export interface AddressRules {
  /** When there are any, a URL must begin with one of them. */
  readonly allowUrlPrefixes: readonly string[];
  /** Link-local and metadata addresses are allowed too. */
  readonly allowLinkLocal: boolean;
}

/** Names that clouds give to their metadata services. */
const METADATA_NAMES = new Set([
  "metadata",
  "metadata.google.internal",
  "metadata.goog",
  "instance-data",
  "instance-data.ec2.internal",
  "metadata.azure.internal",
  "metadata.platformequinix.com",
]);

const REFUSED = new BlockList();
REFUSED.addSubnet("169.254.0.0", 16, "ipv4");
REFUSED.addSubnet("fe80::", 10, "ipv6");
// Metadata outside the link-local ranges: EC2 and Google over IPv6, Alibaba, Oracle, Azure.
REFUSED.addAddress("fd00:ec2::254", "ipv6");
REFUSED.addAddress("fd20:ce::254", "ipv6");
REFUSED.addAddress("100.100.100.200", "ipv4");
REFUSED.addAddress("192.0.0.192", "ipv4");
REFUSED.addAddress("168.63.129.16", "ipv4");

/**
 * Checks what a URL says, before anything is resolved.
 *
 * @throws JobFault that names the rule
 */
export function checkUrl(url: URL, rules: AddressRules): void {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new JobFault(
      `${shownUrl(url)}: only http and https addresses are downloaded from, not ${url.protocol}`,
    );
  }
  const { allowUrlPrefixes, allowLinkLocal } = rules;
  if (allowUrlPrefixes.length > 0 && !allowUrlPrefixes.some((prefix) => hasPrefix(url, prefix))) {
    throw new JobFault(
      `${shownUrl(url)}: this agent downloads only from ${allowUrlPrefixes.join(", ")} (allow-url-prefix)`,
    );
  }
  if (allowLinkLocal) return;
  const host = hostOf(url);
  if (METADATA_NAMES.has(host.replace(/\.$/, "").toLowerCase())) throw refusal(url, host);
  if (isIP(host) !== 0) checkAddress(host, url, rules);
}

/**
 * Checks an address that a name stands for.
 *
 * @throws JobFault when it is link-local or a metadata service and these are not allowed
 */
export function checkAddress(address: string, url: URL, rules: AddressRules): void {
  if (!rules.allowLinkLocal && isRefusedAddress(address)) throw refusal(url, address);
}

/** Host of a URL as `dns` and `net` want it. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Says whether an address is link-local or that of a metadata service, also where IPv6 carries it. */
export function isRefusedAddress(address: string): boolean {
  const bare = address.replace(/%.*$/, "");
  if (!isIPv6(bare)) return REFUSED.check(bare, "ipv4");
  if (REFUSED.check(bare, "ipv6")) return true;
  const carried = carriedIpv4(bare);
  return carried !== null && REFUSED.check(carried, "ipv4");
}

/** The IPv4 address inside a mapped (`::ffff:…`), compatible (`::…`), translated (`64:ff9b::…`) or 6to4 (`2002:…`) one. */
function carriedIpv4(address: string): string | null {
  const words = wordsOf(address);
  const [first = 0, second = 0, third = 0] = words;
  const isZero = (from: number, to: number): boolean => words.slice(from, to).every((word) => word === 0);
  if (first === 0x2002) return dotted(second, third);
  const isMapped = isZero(0, 5) && words[5] === 0xffff;
  const isTranslated = first === 0x64 && second === 0xff9b && (third === 1 || isZero(2, 6));
  return isMapped || isZero(0, 6) || isTranslated ? dotted(words[6] ?? 0, words[7] ?? 0) : null;
}

/** The eight numbers of an IPv6 address. */
function wordsOf(address: string): number[] {
  // The URL parser writes every form in one way, dotted ends included.
  const plain = URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? address;
  const [head = "", tail] = plain.split("::");
  const read = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((word) => Number.parseInt(word, 16));
  const front = read(head);
  const back = tail === undefined ? [] : read(tail);
  return [...front, ...Array<number>(Math.max(0, 8 - front.length - back.length)).fill(0), ...back];
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/**
 * Compares URLs by their parts: `https://files.example` must not allow `https://files.example.org`, nor a path that
 * some server climbs out of its folder with.
 */
function hasPrefix(url: URL, prefix: string): boolean {
  const allowed = URL.parse(prefix);
  if (allowed === null || allowed.origin !== url.origin) return false;
  return url.pathname.startsWith(allowed.pathname) && !climbs(url.pathname);
}

function climbs(path: string): boolean {
  const plain = path.replaceAll(/%2f/gi, "/").replaceAll(/%5c/gi, "/").replaceAll(/%2e/gi, ".");
  return plain.split(/[/\\]/).some((step) => step === ".." || step.startsWith("..;"));
}

function refusal(url: URL, address: string): JobFault {
  return new JobFault(
    `${shownUrl(url)}: ${address} is a link-local or metadata address, which this agent does not download from (allow-link-local)`,
  );
}
