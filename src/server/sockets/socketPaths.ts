/** Finds the WebSocket of a path. There are few of them, and a handshake is rare beside what follows it. */
import type { Dialect } from "../../dialects/dialect.ts";
import type { SocketRoute } from "../../dialects/socket.ts";

/** What was found at a path. */
export interface SocketMatch {
  readonly route: SocketRoute;
  readonly dialect: Dialect;
  /** Decoded. */
  readonly params: Readonly<Record<string, string>>;
}

export class SocketPaths {
  readonly #entries: readonly { route: SocketRoute; dialect: Dialect; start: string; pattern: RegExp }[];

  constructor(dialects: readonly Dialect[]) {
    this.#entries = dialects.flatMap((dialect) =>
      (dialect.sockets ?? []).map((route) => ({
        ...{ route, dialect, pattern: patternOf(route.path) },
        start: route.path.split("{", 1)[0] ?? "",
      })),
    );
  }

  /** Null when no WebSocket is at that path. */
  find(path: string): SocketMatch | null {
    for (const { route, dialect, start, pattern } of this.#entries) {
      if (!path.startsWith(start)) continue;
      const groups = pattern.exec(path);
      if (groups === null) continue;
      const params = Object.entries(groups.groups ?? {}).map(([name, text]) => [name, decode(text)]);
      return { route, dialect, params: Object.fromEntries(params) };
    }
    return null;
  }
}

/** A slash at the end makes no other path: nothing else could be meant. */
function patternOf(path: string): RegExp {
  const source = path
    .split(/(\{\w+\})/)
    .map((part) => (/^\{\w+\}$/.test(part) ? `(?<${part.slice(1, -1)}>[^/]+)` : RegExp.escape(part)))
    .join("");
  return new RegExp(`^${source}/?$`);
}

/** A text that is not rightly encoded stands for itself; nothing will have that name. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
