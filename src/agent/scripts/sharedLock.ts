/** A lock between the jobs and agents of a machine: many may use a thing, or one may change it. */
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { isFileAt } from "../binaries/cacheFolder.ts";
import { type LockKind, tryLock as tryLockFile } from "../binaries/fileLock.ts";

/** What was locked, to be let go of. */
export interface HeldLock {
  release(): void;
  /** Lets go of it and removes its file, when there is nothing to lock any more; for an exclusive lock alone. */
  removeAndRelease(): void;
}

const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
/** Files that are removed between our look and our lock, before the lock counts as somebody else's. */
const MAX_TRIES = 10;

/**
 * Takes the lock if it is free now.
 *
 * @returns null when somebody else holds it
 * @throws Error when the file cannot be made
 */
export function tryLock(path: string, kind: LockKind): HeldLock | null {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const descriptor = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    let isLocked = false;
    let isOurs = false;
    try {
      isLocked = tryLockFile(descriptor, kind);
      // Whoever held it before may have removed it: then others lock another file of this name.
      isOurs = isLocked && isFileAt(descriptor, path);
    } finally {
      if (!isOurs) closeSync(descriptor);
    }
    if (!isLocked) return null;
    if (isOurs) return held(path, descriptor);
  }
  return null;
}

function held(path: string, descriptor: number): HeldLock {
  let isHeld = true;
  const release = (): void => {
    // Twice would close a descriptor that is somebody else's by then.
    if (isHeld) closeSync(descriptor);
    isHeld = false;
  };
  return {
    release,
    removeAndRelease: () => {
      if (isHeld) rmSync(path, { force: true });
      release();
    },
  };
}
