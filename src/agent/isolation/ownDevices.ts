/**
 * Device files for isolated jobs of an agent that runs as root: such jobs own the machine's `/dev/null` and could take
 * it from everybody with `chmod`. So they get copies.
 */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Device } from "./bubblewrap.ts";

/** Names and numbers of those that every sandbox has; the same on every Linux. */
const NUMBERS: Readonly<Record<string, readonly [number, number]>> = {
  null: [1, 3],
  zero: [1, 5],
  full: [1, 7],
  random: [1, 8],
  urandom: [1, 9],
  tty: [5, 0],
};

/** Makes the copies in `folder`; null where this may not be done, as in most containers. */
export function makeOwnDevices(folder: string): readonly Device[] | null {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const devices = Object.keys(NUMBERS).map((name) => ({ source: join(folder, name), path: `/dev/${name}` }));
  const script = 'while [ $# -gt 0 ]; do mknod -m 666 "$1" c "$2" "$3" || exit 1; shift 3; done';
  const words = Object.entries(NUMBERS).flatMap(([name, numbers]) => [
    join(folder, name),
    ...numbers.map(String),
  ]);
  const made = Bun.spawnSync(["/bin/sh", "-c", script, "mknod", ...words], {
    stdin: "ignore",
    stderr: "ignore",
  });
  if (made.exitCode !== 0) return null;
  openToAll(devices);
  return devices;
}

/** Puts right what a job may have done to them. */
export function openToAll(devices: readonly Device[]): void {
  for (const { source } of devices) chmodSync(source, 0o666);
}
