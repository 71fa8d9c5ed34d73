/** Who a request without a key is counted as. */

/** What a server knows of the other end of a request. */
export interface AddressSource {
  requestIP(request: Request): { readonly address: string } | null;
}

/**
 * The address of the other end. Of an IPv6 address only the first 64 bits: a single machine has all the
 * others to itself. Headers that name another address are not believed.
 */
export function callerAddress(request: Request, source: AddressSource): string {
  const address = source.requestIP(request)?.address ?? "unknown";
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? `${networkOf(address)}::/64`;
}

function networkOf(address: string): string {
  const [head = "", tail] = address.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = tail === undefined ? 0 : 8 - first.length - last.length;
  const groups = [...first, ...new Array<string>(Math.max(0, missing)).fill("0"), ...last];
  return groups.slice(0, 4).join(":");
}
