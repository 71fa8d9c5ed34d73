/**
 * Finds the routes of a path. All dialects share one table, keyed by path, so that a wrong method is told
 * from an unknown path, and a path that two dialects have goes to the first whose `matches` takes it.
 */
import { RegExpRouter } from "hono/router/reg-exp-router";
import { SmartRouter } from "hono/router/smart-router";
import { TrieRouter } from "hono/router/trie-router";
import type { Dialect } from "../dialects/dialect.ts";
import { type Access, accessOf, type Method, type Route } from "../dialects/route.ts";
import { RouteTimes } from "./routeTimes.ts";

/** A route with whom it belongs to and how it does. */
export interface Target {
  readonly route: Route;
  readonly dialect: Dialect;
  /** Names of the path's placeholders, in order. */
  readonly parameterNames: readonly string[];
  readonly times: RouteTimes;
  readonly access: Access;
  /** A browser sends such a request of a page to another site without asking that site first. */
  readonly isSentUnasked: boolean;
}

/** Everything that is served at one path. */
interface PathTargets {
  readonly pattern: string;
  readonly byMethod: Map<string, Target[]>;
}

/** What was found at a path. */
export interface Match {
  /** The routes of the method, to be asked in order; empty when the path has other methods only. */
  readonly targets: readonly Target[];
  /** Texts of the placeholders as they stand in the path. */
  readonly values: readonly string[];
  readonly allowed: readonly string[];
  readonly dialect: Dialect | null;
}

const NO_VALUES: readonly string[] = [];

export class Router {
  readonly targets: readonly Target[];
  /** Paths without placeholders: the hot routes are all here, one look-up away. */
  readonly #fixed = new Map<string, PathTargets>();
  readonly #patterns = new SmartRouter<PathTargets>({ routers: [new RegExpRouter(), new TrieRouter()] });
  readonly #dialects: readonly Dialect[];

  constructor(dialects: readonly Dialect[]) {
    this.#dialects = dialects;
    const paths = new Map<string, PathTargets>();
    const targets: Target[] = [];
    for (const dialect of dialects) {
      for (const route of dialect.routes) {
        const target = targetOf(route, dialect);
        targets.push(target);
        const pattern = patternOf(route.path);
        const path = paths.get(pattern) ?? { pattern, byMethod: new Map() };
        paths.set(pattern, path);
        path.byMethod.set(route.method, [...(path.byMethod.get(route.method) ?? []), target]);
      }
    }
    this.targets = targets;
    for (const [pattern, path] of paths) {
      if (pattern.includes(":")) this.#patterns.add("ALL", pattern, path);
      else this.#fixed.set(pattern, path);
    }
    // A first match compiles the table now instead of under the first request.
    this.#patterns.match("ALL", "/");
  }

  /** Null when nothing is at that path. */
  find(method: string, path: string): Match | null {
    const fixed = this.#fixed.get(path);
    const hot = fixed?.byMethod.get(method);
    if (hot !== undefined) return { targets: hot, values: NO_VALUES, allowed: [], dialect: null };

    const found: PathTargets[] = fixed === undefined ? [] : [fixed];
    const [matches, stash] = this.#patterns.match("ALL", path);
    for (const [entry, indexes] of matches) {
      const values = Object.values(indexes).map((index) =>
        typeof index === "string" ? index : (stash?.[index] ?? ""),
      );
      const targets = targetsOf(entry, method);
      if (targets !== undefined) return { targets, values, allowed: [], dialect: null };
      found.push(entry);
    }
    if (fixed !== undefined) {
      const targets = targetsOf(fixed, method);
      if (targets !== undefined) return { targets, values: NO_VALUES, allowed: [], dialect: null };
    }
    return found.length === 0 ? null : nothingFor(found.reduce(moreSpecific));
  }

  /** The dialect that words errors for a path that has no route. */
  ownerOf(path: string): Dialect {
    let owner: Dialect | undefined;
    let longest = -1;
    for (const dialect of this.#dialects) {
      for (const prefix of dialect.prefixes) {
        if (prefix.length <= longest || !path.startsWith(prefix)) continue;
        owner = dialect;
        longest = prefix.length;
      }
    }
    if (owner === undefined) throw new Error("no dialect has the prefix /");
    return owner;
  }
}

/**
 * What is said of a path that does not have the method. Only the path that describes it best counts: that
 * `/clients/{id}` can be deleted says nothing of `/clients/register`.
 */
function nothingFor({ byMethod }: PathTargets): Match {
  const allowed = new Set(byMethod.keys());
  if (allowed.has("GET")) allowed.add("HEAD");
  const dialect = [...byMethod.values()][0]?.[0]?.dialect ?? null;
  return { targets: [], values: NO_VALUES, allowed: [...allowed].sort(), dialect };
}

/** Of two paths for one address: the one that writes out a part, the first that differs, for which the other has a placeholder. */
function moreSpecific(one: PathTargets, other: PathTargets): PathTargets {
  const parts = other.pattern.split("/");
  const differs = one.pattern.split("/").find((part, place) => part !== parts[place]);
  return differs?.startsWith(":") ? other : one;
}

/** A GET route answers HEAD too, unless the path has a HEAD of its own. */
function targetsOf(entry: PathTargets, method: string): Target[] | undefined {
  return (
    entry.byMethod.get(method) ?? (method === "HEAD" ? entry.byMethod.get("GET" satisfies Method) : undefined)
  );
}

function targetOf(route: Route, dialect: Dialect): Target {
  const parameterNames = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "");
  const access = accessOf(route);
  return {
    route,
    dialect,
    parameterNames,
    times: new RouteTimes(route.method, route.path),
    access,
    isSentUnasked: isSentUnasked(route, access),
  };
}

/** Those that change something by a GET or by a POST without a body; JSON bodies are looked at where they are read. */
function isSentUnasked(route: Route, access: Access): boolean {
  if (route.method === "GET") return access !== "open" && access !== "read";
  return route.method === "POST" && route.schemas.body === null;
}

/** Placeholders by place, not by name: `/jobs/{id}` and `/jobs/{job_id}` are one path. */
function patternOf(path: string): string {
  let place = 0;
  return path.replace(/\{\w+\}/g, () => `:p${place++}`);
}
