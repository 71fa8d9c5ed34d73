/** Where the kernel's control groups are mounted, and which group this process is in. */
import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";

/** The group of this process, as a folder. */
export interface OwnGroup {
  readonly version: 1 | 2;
  /** What the hierarchy controls; empty for version 2, whose folders say it themselves. */
  readonly controllers: readonly string[];
  readonly path: string;
}

/**
 * Every hierarchy that is mounted, with this process's folder in it.
 *
 * @param mountInfo text of `/proc/self/mountinfo`
 * @param groups text of `/proc/self/cgroup`
 * @param exists says whether a folder is there; where the process's own is out of sight, the mount's root stands for it
 */
export function ownGroups(
  mountInfo: string,
  groups: string,
  exists: (path: string) => boolean = existsSync,
): OwnGroup[] {
  return mountInfo.split("\n").flatMap((line): OwnGroup[] => {
    const [fields = "", rest = ""] = line.split(" - ");
    const [, , , root = "/", mountPoint = ""] = fields.split(" ").map(unescaped);
    const [type, , options = ""] = rest.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") return [];
    const version = type === "cgroup2" ? 2 : 1;
    const controllers = version === 2 ? [] : options.split(",").filter((option) => !/^r[ow]$/.test(option));
    const own = ownPath(groups, version, controllers);
    if (own === null) return [];
    const inMount = root !== "/" && own.startsWith(root) ? own.slice(root.length) : own;
    const path = posix.join(mountPoint, inMount);
    return [{ version, controllers, path: exists(path) ? path : mountPoint }];
  });
}

/** The hierarchies of this process now; none where there is no `/proc`. */
export function ownGroupsNow(): OwnGroup[] {
  try {
    return ownGroups(readFileSync("/proc/self/mountinfo", "utf8"), readFileSync("/proc/self/cgroup", "utf8"));
  } catch {
    return [];
  }
}

function ownPath(groups: string, version: 1 | 2, controllers: readonly string[]): string | null {
  for (const line of groups.split("\n")) {
    const [, id, names, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    if (version === 2 ? id === "0" && names === "" : names !== "" && sharesOne(names, controllers))
      return path;
  }
  return null;
}

function sharesOne(names = "", controllers: readonly string[]): boolean {
  return names.split(",").some((name) => controllers.includes(name));
}

/** Mount points have blanks as `\040`. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
