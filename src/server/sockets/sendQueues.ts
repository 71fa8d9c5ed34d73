/**
 * What lies sent in the system's own buffers and was not taken by the other end yet, for each connection.
 *
 * Linux calls a socket writable only when about a third of its buffer, of up to 4 MiB, is free. Until then a slow
 * reader looks from here like one that stands still; only the system knows better.
 */
import { readFile } from "node:fs/promises";

/** The two ends of one connection; what is ours of the address is not needed to find it. */
export interface ConnectionEnds {
  readonly localPort: number;
  readonly address: string;
  readonly port: number;
}

/** A server that knows the connections of its requests. */
export interface EndsSource {
  readonly port?: number | undefined;
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
}

/** The ends of a request's connection, before it is answered or upgraded; null where they are not known. */
export function endsOf(request: Request, source: EndsSource): ConnectionEnds | null {
  const end = source.requestIP(request);
  if (end === null || source.port === undefined) return null;
  return { localPort: source.port, address: end.address, port: end.port };
}

/** All queues at one moment. */
interface Look {
  readonly number: number;
  readonly bytes: ReadonlyMap<string, number>;
}

const FILES = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/** Local port, the other end's address and port, state, bytes to send: all in hexadecimal digits. */
const LINE = /:([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]{2} ([0-9A-F]{8}):/g;
const MAPPED = "0000000000000000FFFF0000";
const PAUSE_MS = 1_000;
/** The files have all connections of the machine: looking takes at most 5% of the time. */
const PAUSE_PER_LOOK = 20;

export class SendQueues {
  #look: Promise<Look | null> | null = null;
  #looks = 0;

  /**
   * How much is on its way to the other end, at most about a second old. The number names the look: two answers of one
   * look say nothing of what happened between them. Null where the system does not tell.
   */
  async bytesTo(ends: ConnectionEnds): Promise<{ readonly look: number; readonly bytes: number } | null> {
    this.#look ??= this.#read();
    const look = await this.#look;
    const bytes = look?.bytes.get(keyOf(ends));
    return look === null || bytes === undefined ? null : { look: look.number, bytes };
  }

  async #read(): Promise<Look | null> {
    const startedAtMs = performance.now();
    // A machine without IPv6 has one of them.
    const texts = await Promise.all(FILES.map((file) => readFile(file, "latin1").catch(() => null)));
    const bytes = new Map<string, number>();
    for (const text of texts) {
      for (const [, local, address = "", port, queued = ""] of text?.matchAll(LINE) ?? []) {
        const short = address.startsWith(MAPPED) ? address.slice(MAPPED.length) : address;
        bytes.set(`${local} ${short}:${port}`, Number.parseInt(queued, 16));
      }
    }
    const tookMs = performance.now() - startedAtMs;
    const forget = () => {
      this.#look = null;
    };
    setTimeout(forget, Math.max(PAUSE_MS, tookMs * PAUSE_PER_LOOK)).unref();
    return texts.every((text) => text === null) ? null : { number: ++this.#looks, bytes };
  }
}

function keyOf({ localPort, address, port }: ConnectionEnds): string {
  return `${hex(localPort, 4)} ${addressHex(address)}:${hex(port, 4)}`;
}

/** As Linux writes it: in words of four bytes, each the other way round. */
function addressHex(address: string): string {
  const mapped = /^(?:::ffff:)?(\d+)\.(\d+)\.(\d+)\.(\d+)$/i.exec(address);
  const bytes = mapped === null ? bytesOfIpv6(address) : mapped.slice(1).map(Number);
  let text = "";
  for (let at = 0; at < bytes.length; at += 4) {
    for (const byte of bytes.slice(at, at + 4).reverse()) text += hex(byte, 2);
  }
  return text;
}

function bytesOfIpv6(address: string): number[] {
  const [head = "", tail = ""] = (address.split("%", 1)[0] ?? "").split("::");
  const groupsOf = (text: string) => (text === "" ? [] : text.split(":"));
  const [first, last] = [groupsOf(head), groupsOf(tail)];
  const missing = new Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0");
  return [...first, ...missing, ...last].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}
