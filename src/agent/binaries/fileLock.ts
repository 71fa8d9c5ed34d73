/**
 * Locks on open files between processes: `flock`. The kernel lets go of one when its file is closed, however the
 * process ends, so nobody waits for the dead.
 */
import { dlopen, FFIType } from "bun:ffi";

export type LockKind = "shared" | "exclusive";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** The C library by the names that it has on glibc, musl and macOS. */
const LIBRARIES = [
  "libc.so.6",
  `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`,
  "libSystem.B.dylib",
];

let flock: ((descriptor: number, operation: number) => number) | undefined;

/**
 * Takes a lock on an open file without waiting; it ends when the file is closed.
 *
 * @returns false when somebody else has a lock that excludes this one
 * @throws Error where the system has no such locks
 */
export function tryLock(descriptor: number, kind: LockKind): boolean {
  flock ??= loadFlock();
  return flock(descriptor, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0;
}

function loadFlock(): (descriptor: number, operation: number) => number {
  for (const name of LIBRARIES) {
    try {
      const library = dlopen(name, { flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } });
      return library.symbols.flock;
    } catch {
      // Another system's name.
    }
  }
  throw new Error("this system has no locks on files, which the cache of binaries needs");
}
