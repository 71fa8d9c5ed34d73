/** The kinds of value a setting can have: how each is read from text or from the file, and shown. */
import { type ConfiguredKey, KEY_ROLES } from "../server/access/apiKey.ts";
import { S3_ADDRESS } from "../store/blobs/s3Address.ts";
import { BYTE_SIZE_FORM, formatByteSize, parseByteSize } from "./byteSize.ts";
import { DURATION_FORM, formatDuration, parseDuration } from "./duration.ts";

/** A value that does not fit its setting; `allowed` says what does. */
export class SettingValueError extends Error {
  override readonly name = "SettingValueError";
}

export interface SettingKind<T> {
  /** Stands for the value in help: `--data <dir>`. Null for a switch, which takes none. */
  readonly placeholder: string | null;
  /** May be given several times on the command line, and as a list in the file. */
  readonly isList: boolean;
  /** What is allowed, for help and errors. */
  readonly allowed: string;
  /**
   * Reads a flag (text; for a list the texts in order), a variable (text) or a value of the file (anything).
   *
   * @throws SettingValueError when the value does not fit
   */
  read(value: unknown): T;
  /** The value as a user would write it. */
  show(value: T): string;
}

function refuse(allowed: string, value: unknown): SettingValueError {
  return new SettingValueError(`expected ${allowed}, got ${JSON.stringify(value) ?? String(value)}`);
}

/** Texts of a list: a list as it is, a text split at commas. */
function listOfTexts(value: unknown, allowed: string): string[] {
  const items: unknown[] = Array.isArray(value) ? value : [value];
  const texts: string[] = [];
  for (const item of items) {
    if (typeof item !== "string") throw refuse(allowed, value);
    texts.push(
      ...item
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== ""),
    );
  }
  return texts;
}

/** Any text. */
export function text(placeholder: string, allowed: string): SettingKind<string> {
  return {
    placeholder,
    isList: false,
    allowed,
    read(value) {
      if (typeof value !== "string" || value === "") throw refuse(allowed, value);
      return value;
    },
    show: (value) => value,
  };
}

/** The address of a PostgreSQL database. */
export function databaseUrl(): SettingKind<string> {
  const allowed = "the address of a PostgreSQL database, such as postgres://user:password@host:5432/database";
  return {
    placeholder: "url",
    isList: false,
    allowed,
    read(value) {
      if (typeof value !== "string" || !/^postgres(ql)?:\/\//.test(value))
        throw new SettingValueError(`expected ${allowed}`);
      return value;
    },
    show: (value) => value,
  };
}

/** A place in a bucket of an S3-compatible service. */
export function s3Address(): SettingKind<string> {
  const allowed = "s3://bucket or s3://bucket/prefix";
  return {
    placeholder: "url",
    isList: false,
    allowed,
    read(value) {
      if (typeof value !== "string" || !S3_ADDRESS.test(value)) throw refuse(allowed, value);
      return value;
    },
    show: (value) => value,
  };
}

/** The address of a service: scheme, host and port. */
export function endpointUrl(): SettingKind<string> {
  const allowed = "the address of a service, such as https://s3.example.com or http://127.0.0.1:9000";
  return {
    placeholder: "url",
    isList: false,
    allowed,
    read(value) {
      const url = typeof value === "string" ? URL.parse(value) : null;
      const isPlain = url !== null && url.username === "" && url.search === "" && url.hash === "";
      if (!isPlain || !["http:", "https:"].includes(url.protocol))
        throw new SettingValueError(`expected ${allowed}`);
      return url.href.replace(/\/+$/, "");
    },
    show: (value) => value,
  };
}

/** One or more texts, as a list or with commas between them. */
export function texts(placeholder: string, allowed: string): SettingKind<readonly string[]> {
  return {
    placeholder,
    isList: true,
    allowed,
    read(value) {
      const items = listOfTexts(value, allowed);
      if (items.length === 0) throw refuse(allowed, value);
      return items;
    },
    show: (value) => value.join(","),
  };
}

/** Paths; none is allowed too. */
export function paths(): SettingKind<readonly string[]> {
  const allowed = "paths of files or folders";
  return {
    placeholder: "path",
    isList: true,
    allowed,
    read: (value) => listOfTexts(value, allowed),
    show: (value) => value.join(","),
  };
}

/** API keys, each with its role; none is allowed too. They are not shown. */
export function apiKeys(): SettingKind<readonly ConfiguredKey[]> {
  const allowed = `keys, or role:key with a role of ${KEY_ROLES.join(", ")}; visible ASCII characters without commas`;
  return {
    placeholder: "key",
    isList: true,
    allowed,
    read(value) {
      return listOfTexts(value, allowed).map((item) => {
        const role = KEY_ROLES.find((candidate) => item.startsWith(`${candidate}:`));
        const key = role === undefined ? item : item.slice(role.length + 1);
        // Nothing else arrives as it was sent in a header.
        if (!/^[\x21-\x7e]+$/.test(key)) throw new SettingValueError(`expected ${allowed}`);
        return { role: role ?? "admin", key };
      });
    },
    show: (value) => value.map(() => "***").join(","),
  };
}

/** Origins of web pages. `none` is no other one. */
export function webOrigins(): SettingKind<readonly string[]> {
  const allowed = "origins such as https://example.com, local, none, or * for all";
  return {
    placeholder: "origin",
    isList: true,
    allowed,
    read(value) {
      const items = listOfTexts(value, allowed);
      if (items.length === 1 && items[0] === "none") return [];
      return items.map((item) => {
        if (item === "*" || item === "local") return item;
        const url = URL.parse(item);
        const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`;
        if (!isOrigin) throw refuse(allowed, item);
        return url.origin;
      });
    },
    show: (value) => (value.length === 0 ? "none" : value.join(",")),
  };
}

/** Names of hosts, without a port; none is allowed too. */
export function hostNames(): SettingKind<readonly string[]> {
  const allowed = "names of hosts such as jobs.example.com, without http:// and port, or * for all";
  return {
    placeholder: "name",
    isList: true,
    allowed,
    read(value) {
      const names = listOfTexts(value, allowed);
      const odd = names.find((name) => name !== "*" && !/^[\w-]+(\.[\w-]+)*\.?$/.test(name));
      if (odd !== undefined) throw refuse(allowed, odd);
      return names;
    },
    show: (value) => value.join(","),
  };
}

/** Where public keys are published: over TLS, or on this machine. Over the network anybody could put other keys there. */
export function keySetUrl(): SettingKind<string> {
  const allowed = "an https address, such as https://login.example.com/keys (http only on this machine)";
  return {
    placeholder: "url",
    isList: false,
    allowed,
    read(value) {
      const url = typeof value === "string" ? URL.parse(value) : null;
      const isLocal = url !== null && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
      const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && isLocal);
      if (url === null || !isSafe || url.username !== "" || url.password !== "") throw refuse(allowed, value);
      return url.href;
    },
    show: (value) => value,
  };
}

/** Beginnings of http and https URLs; none is allowed too. */
export function urlPrefixes(): SettingKind<readonly string[]> {
  const allowed = "URLs such as https://files.example/tools/";
  return {
    placeholder: "url",
    isList: true,
    allowed,
    read(value) {
      return listOfTexts(value, allowed).map((item) => {
        if (!/^https?:$/.test(URL.parse(item)?.protocol ?? "")) throw refuse(allowed, item);
        return item;
      });
    },
    show: (value) => value.join(","),
  };
}

/** Words that stand in a header: names of methods or of headers. */
export function headerWords(placeholder: string, allowed: string): SettingKind<readonly string[]> {
  const list = texts(placeholder, allowed);
  return {
    ...list,
    read(value) {
      const words = list.read(value);
      const odd = words.find((word) => !/^[\w!#$%&'*+.^`|~-]+$/.test(word));
      if (odd !== undefined) throw refuse(allowed, odd);
      return words;
    },
  };
}

/** Some of a few words. */
export function choices<const W extends string>(
  placeholder: string,
  words: readonly W[],
): SettingKind<readonly W[]> {
  const list = texts(placeholder, `some of ${words.join(", ")}`);
  return {
    ...list,
    read(value) {
      return list.read(value).map((item) => {
        const word = words.find((candidate) => candidate === item);
        if (word === undefined) throw refuse(list.allowed, item);
        return word;
      });
    },
    show: (value) => value.join(","),
  };
}

/** `key=value` pairs, as a list, with commas between them, or as a table of the file. */
export function labels(): SettingKind<Readonly<Record<string, string>>> {
  const allowed = "labels such as gpu=a100";
  return {
    placeholder: "key=value",
    isList: true,
    allowed,
    read(value) {
      if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        const pairs = Object.entries(value).map(([key, label]) => {
          if (typeof label !== "string") throw refuse(allowed, value);
          return [key, label] as const;
        });
        return Object.fromEntries(pairs);
      }
      return Object.fromEntries(
        listOfTexts(value, allowed).map((pair) => {
          const cut = pair.indexOf("=");
          if (cut < 1) throw refuse(allowed, pair);
          return [pair.slice(0, cut), pair.slice(cut + 1)] as const;
        }),
      );
    },
    show: (value) =>
      Object.entries(value)
        .map(([key, label]) => `${key}=${label}`)
        .join(","),
  };
}

/** A whole number between two bounds. */
export function integer(placeholder: string, min: number, max: number): SettingKind<number> {
  const allowed = `a whole number from ${min} to ${max}`;
  return {
    placeholder,
    isList: false,
    allowed,
    read(value) {
      const number = typeof value === "string" && /^-?\d+$/.test(value.trim()) ? Number(value) : value;
      if (typeof number !== "number" || !Number.isSafeInteger(number) || number < min || number > max) {
        throw refuse(allowed, value);
      }
      return number;
    },
    show: String,
  };
}

/** Milliseconds: a number of them, or a duration such as `30s`. */
export function durationMs(minMs: number): SettingKind<number> {
  const allowed = `${DURATION_FORM}, or a number of milliseconds${minMs > 0 ? `, at least ${minMs}` : ""}`;
  return {
    placeholder: "duration",
    isList: false,
    allowed,
    read(value) {
      const ms = typeof value === "string" ? parseDuration(value, "ms") : value;
      if (typeof ms !== "number" || !Number.isSafeInteger(ms) || ms < minMs) throw refuse(allowed, value);
      return ms;
    },
    show: formatDuration,
  };
}

/** Milliseconds, or `never`, which reads as null. */
export function durationMsOrNever(minMs: number): SettingKind<number | null> {
  const duration = durationMs(minMs);
  const allowed = `${duration.allowed}; or never`;
  return {
    ...duration,
    allowed,
    read(value) {
      if (value === "never") return null;
      try {
        return duration.read(value);
      } catch {
        throw refuse(allowed, value);
      }
    },
    show: (value) => (value === null ? "never" : duration.show(value)),
  };
}

/** Bytes: a number of them, or a size such as `64MiB`. */
export function byteSize(minBytes: number): SettingKind<number> {
  const allowed = `${BYTE_SIZE_FORM}${minBytes > 0 ? `, at least ${minBytes}` : ""}`;
  return {
    placeholder: "size",
    isList: false,
    allowed,
    read(value) {
      const bytes = typeof value === "string" ? parseByteSize(value) : value;
      if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes < minBytes) {
        throw refuse(allowed, value);
      }
      return bytes;
    },
    show: formatByteSize,
  };
}

const YES: readonly unknown[] = [true, "true", "1", "yes", "on"];
const NO: readonly unknown[] = [false, "false", "0", "no", "off", ""];

/** On or off: a flag without a value; `true` or `false` in a variable or the file. */
export function toggle(): SettingKind<boolean> {
  const allowed = "true or false";
  return {
    placeholder: null,
    isList: false,
    allowed,
    read(value) {
      const word = typeof value === "string" ? value.toLowerCase() : value;
      if (YES.includes(word)) return true;
      if (NO.includes(word)) return false;
      throw refuse(allowed, value);
    },
    show: String,
  };
}

/** One of a few words. */
export function choice<const W extends string>(words: readonly W[]): SettingKind<W> {
  const allowed = `one of ${words.join(", ")}`;
  return {
    placeholder: words.join("|"),
    isList: false,
    allowed,
    read(value) {
      const word = words.find((candidate) => candidate === value);
      if (word === undefined) throw refuse(allowed, value);
      return word;
    },
    show: (value) => value,
  };
}
