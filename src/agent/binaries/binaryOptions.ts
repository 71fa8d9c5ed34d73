/** What an agent can be told about the binaries that it downloads, with every default in one place. */
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { DownloadLimits } from "./download.ts";

/** Part of the agent's options. */
export interface BinaryOptions {
  /** Downloaded binaries, shared by the agents of this machine's user; default `yardmaster` in `XDG_CACHE_HOME` or `~/.cache`. */
  cacheDir?: string | undefined;
  /** Size of the cache; default 10 GiB. */
  cacheBytes?: number | undefined;
  /** Largest binary that is downloaded; default 4 GiB. */
  maxBinaryBytes?: number | undefined;
  /** Longest time of a download, all tries together; default one hour. */
  downloadTimeoutMs?: number | undefined;
  /** Longest time of it without a single byte, connecting included; default 30,000. */
  downloadIdleTimeoutMs?: number | undefined;
  /** Tries in a row that bring nothing before a download is given up; default 5. */
  downloadMaxTries?: number | undefined;
  /** Pause after the first of them, doubled each time; default 500. */
  downloadFirstPauseMs?: number | undefined;
  /** When given, binaries come from URLs with these beginnings only. */
  allowUrlPrefixes?: readonly string[] | undefined;
  /** Download from link-local and metadata addresses too; default false. */
  allowLinkLocal?: boolean | undefined;
}

/** The options in force. */
export interface BinarySettings {
  readonly cacheDir: string;
  readonly cacheBytes: number;
  readonly limits: DownloadLimits;
}

const GIB = 1024 ** 3;
const MAX_REDIRECTS = 10;

/**
 * Fills in the defaults.
 *
 * @throws RangeError naming the option that is out of range.
 */
export function binarySettings(options: BinaryOptions): BinarySettings {
  for (const prefix of options.allowUrlPrefixes ?? []) {
    if (!/^https?:$/.test(URL.parse(prefix)?.protocol ?? "")) {
      throw new RangeError(`allowUrlPrefixes must be http or https URLs, not ${JSON.stringify(prefix)}`);
    }
  }
  return {
    cacheDir: options.cacheDir ?? defaultCacheDir(process.env),
    cacheBytes: options.cacheBytes ?? 10 * GIB,
    limits: {
      maxBytes: options.maxBinaryBytes ?? 4 * GIB,
      totalTimeoutMs: options.downloadTimeoutMs ?? 3_600_000,
      idleTimeoutMs: options.downloadIdleTimeoutMs ?? 30_000,
      maxTries: options.downloadMaxTries ?? 5,
      firstPauseMs: options.downloadFirstPauseMs ?? 500,
      maxRedirects: MAX_REDIRECTS,
      allowUrlPrefixes: options.allowUrlPrefixes ?? [],
      allowLinkLocal: options.allowLinkLocal ?? false,
    },
  };
}

/** By the XDG Base Directory Specification, which takes absolute paths alone. */
export function defaultCacheDir(env: Readonly<Record<string, string | undefined>>): string {
  const given = env.XDG_CACHE_HOME ?? "";
  return join(isAbsolute(given) ? given : join(homedir(), ".cache"), "yardmaster");
}
