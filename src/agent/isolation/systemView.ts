/** What of this machine an isolated job may see without being told: the system, but none of its secrets. */
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { systemCode } from "../systemCode.ts";
import type { Device, HiddenPath, SystemEntry } from "./bubblewrap.ts";

/** Programs, libraries and their settings. Homes, data, mounts and sockets (`/run`, `/var`) are not among them. */
const SYSTEM_FOLDERS = [
  "/usr",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/etc",
  "/opt",
  "/nix",
  "/gnu",
  "/run/current-system",
  // Programs count processors there. The whole of /sys has a dozen mounts in it on many machines, each of which costs
  // every job's start a quarter of a millisecond.
  "/sys/devices",
] as const;

/** Where drivers of accelerators look for their hardware. */
const ACCELERATOR_FOLDERS = ["/sys/bus", "/sys/class", "/sys/dev", "/sys/module"] as const;

/** Device files of accelerators, by the beginning of their names. */
const ACCELERATOR_DEVICES = /^(nvidia|dri$|kfd$|dxg$|accel|habanalabs)/;

/** More entries than any `/etc` has. */
const MAX_SCANNED = 20_000;

/** The system's folders that are there. */
export function systemEntries(): SystemEntry[] {
  return SYSTEM_FOLDERS.filter((path) => existsSync(path)).map((path) => ({
    path,
    link: lstatSync(path).isSymbolicLink() ? readlinkSync(path) : null,
  }));
}

/**
 * What under `folder` other users of the machine may not read: an isolated job may not either, even where the agent
 * may, as root or by its groups. Passwords and private keys lie in such files. What the agent may not read either
 * needs no cover.
 */
export function privatePaths(folder: string): HiddenPath[] {
  const found: HiddenPath[] = [];
  const folders = [folder];
  let scanned = 0;
  for (let next = folders.pop(); next !== undefined && scanned < MAX_SCANNED; next = folders.pop()) {
    for (const name of namesIn(next)) {
      scanned += 1;
      const path = join(next, name);
      const entry = lstatSync(path, { throwIfNoEntry: false });
      if (entry === undefined || entry.isSymbolicLink()) continue;
      const isDirectory = entry.isDirectory();
      const needed = isDirectory ? 0o005 : 0o004;
      const isPublic = (entry.mode & needed) === needed;
      if (!isPublic && isReadable(path)) found.push({ path, isDirectory });
      if (isPublic && isDirectory) folders.push(path);
    }
  }
  return found;
}

/** Those of `paths` that are there, links followed. What the agent may not look at its jobs may not either. */
export function hiddenPaths(paths: readonly string[]): HiddenPath[] {
  return paths.flatMap((path) => {
    try {
      const entry = statSync(path, { throwIfNoEntry: false });
      return entry === undefined ? [] : [{ path: realpathSync(path), isDirectory: entry.isDirectory() }];
    } catch (error) {
      if (systemCode(error) === "EACCES") return [];
      throw error;
    }
  });
}

/** What a job with accelerators sees of the machine besides. */
export function acceleratorView(): { readonly devices: Device[]; readonly folders: string[] } {
  const devices = namesIn("/dev").filter((name) => ACCELERATOR_DEVICES.test(name));
  return {
    devices: devices.map((name) => ({ source: join("/dev", name), path: join("/dev", name) })),
    folders: ACCELERATOR_FOLDERS.filter((path) => existsSync(path)),
  };
}

/** Files outside the system's folders that name resolution needs: `/etc/resolv.conf` is a link into `/run` on many. */
export function networkFiles(): string[] {
  try {
    const target = realpathSync("/etc/resolv.conf");
    return target.startsWith("/etc/") ? [] : [target];
  } catch {
    return [];
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
