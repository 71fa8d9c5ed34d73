/** A small disk of its own, where the system lets us have one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDisk extends Disposable {
  readonly path: string;
}

/** Null where none can be mounted. */
export function smallDisk(kibibytes: number): SmallDisk | null {
  const path = mkdtempSync(join(tmpdir(), "yardmaster-disk-"));
  const options = `size=${kibibytes}k,mode=700`;
  const isMounted =
    process.getuid?.() === 0 &&
    Bun.spawnSync(["mount", "-t", "tmpfs", "-o", options, "none", path]).exitCode === 0;
  const remove = () => rmSync(path, { recursive: true, force: true });
  if (!isMounted) {
    remove();
    return null;
  }
  return {
    path,
    [Symbol.dispose]: () => {
      Bun.spawnSync(["umount", "-l", path]);
      remove();
    },
  };
}

/** Why tests that need one must be skipped; null where they can run. */
export function noSmallDisk(): string | null {
  const probe = smallDisk(64);
  probe?.[Symbol.dispose]();
  return probe === null ? "no small disk can be mounted" : null;
}
