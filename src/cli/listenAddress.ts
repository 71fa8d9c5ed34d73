/** Addresses to listen on, as given with `--listen`. */
import { UsageError } from "./usageError.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `127.0.0.1:8000`, `[::1]:8000`, `localhost:0`.
 *
 * @throws UsageError
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-f:.%]+)\]|([^\s:/[\]]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new UsageError(
      `--listen: expected HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000, with a port up to 65535, got ${JSON.stringify(text)}`,
    );
  }
  return { host, port };
}

/** True when only programs on this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/** Where a program on this machine reaches a server that listens on `address`. */
export function localUrl(address: ListenAddress): string {
  const host = address.host === "0.0.0.0" ? "127.0.0.1" : address.host === "::" ? "::1" : address.host;
  return `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
}
