/** A lock between the jobs and agents of a machine: many may use a thing, or one may change it. */
import { closeSync, openSync } from "node:fs";
import { type LockKind, tryLock as tryLockFile } from "../binaries/fileLock.ts";

/** What was locked, to be let go of. */
export interface HeldLock {
  release(): void;
}

/**
 * Takes the lock if it is free now.
 *
 * @returns null when somebody else holds it
 * @throws Error when the file cannot be made
 */
export function tryLock(path: string, kind: LockKind): HeldLock | null {
  const descriptor = openSync(path, "a+", 0o600);
  let isHeld = false;
  try {
    isHeld = tryLockFile(descriptor, kind);
  } finally {
    if (!isHeld) closeSync(descriptor);
  }
  if (!isHeld) return null;
  return {
    release: () => {
      // Twice would close a descriptor that is somebody else's by then.
      if (isHeld) closeSync(descriptor);
      isHeld = false;
    },
  };
}
