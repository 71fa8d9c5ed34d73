/**
 * The marker of an environment: it is there when the environment is whole, its time says when it was used last.
 *
 * It lies beside the environment, where no job can write: what is in an environment was made by the code of packages.
 */
import {
  closeSync,
  constants,
  fstatSync,
  futimesSync,
  lstatSync,
  openSync,
  readFileSync,
  type Stats,
} from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Python } from "./python.ts";

export interface EnvironmentMarker {
  /** Another one each time that the environment is made. */
  readonly id: string;
  /** All that is installed, as provenance lists it. */
  readonly packages: readonly string[];
}

/** More than the longest list of packages has. */
const MAX_MARKER_BYTES = 16 * 1024 * 1024;
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** The marker; null where there is none, or something else in its place. */
export function readMarker(path: string): EnvironmentMarker | null {
  return withMarker(path, (descriptor) => {
    const { id, packages }: { id?: unknown; packages?: unknown } = JSON.parse(
      readFileSync(descriptor, "utf8"),
    );
    if (typeof id !== "string" || !Array.isArray(packages)) return null;
    return packages.every((line) => typeof line === "string") ? { id, packages } : null;
  });
}

/** Says that the environment is used now. */
export function touchMarker(path: string): void {
  const now = new Date();
  // Where it cannot be said the environment is thrown away sooner than it had to be.
  withMarker(path, (descriptor) => futimesSync(descriptor, now, now));
}

/** When the environment was used last; null where there is no marker. */
export function markerUsedMs(path: string): number | null {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  return entry !== undefined && isMarker(entry) ? entry.mtimeMs : null;
}

/** Writes the marker so that a power cut leaves it whole or not at all. Only for who has the environment locked. */
export async function writeMarker(path: string, packages: readonly string[], python: Python): Promise<void> {
  const marker: EnvironmentMarker & { python: string } = {
    id: crypto.randomUUID(),
    packages,
    python: python.version,
  };
  const fresh = unfinished(path);
  await rm(fresh, { recursive: true, force: true });
  const file = await open(fresh, "wx", 0o600);
  try {
    await file.writeFile(JSON.stringify(marker));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
  await syncFolder(dirname(path));
}

/** Removes the marker for good, before what it stands for: half an environment must not be taken for a whole one. */
export async function removeMarker(path: string): Promise<void> {
  await rm(unfinished(path), { recursive: true, force: true });
  await rm(path, { recursive: true, force: true });
  await syncFolder(dirname(path));
}

function unfinished(path: string): string {
  return `${path}.new`;
}

/** Null where there is no plain file of the size of a marker: links are not followed, pipes not waited for. */
function withMarker<T>(path: string, use: (descriptor: number) => T): T | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return null;
  }
  try {
    return isMarker(fstatSync(descriptor)) ? use(descriptor) : null;
  } catch {
    return null;
  } finally {
    closeSync(descriptor);
  }
}

function isMarker(entry: Stats): boolean {
  return entry.isFile() && entry.size <= MAX_MARKER_BYTES;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
