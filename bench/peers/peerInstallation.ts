/**
 * The other queues and the Node.js that they run on, installed into this folder from its own lock file. The product's
 * installation never touches them.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = import.meta.dir;
/** What was installed last: the lock file's text, beside what it led to. */
const MARK = join(FOLDER, "node_modules/.installed-lock");
const INSTALL_TIMEOUT_MS = 300_000;

/** The peers' Node.js: some of them need a newer one than the product. */
export const NODE = join(FOLDER, "node_modules/.bin/node");

/** Installs what the lock file names, unless it is there already; throws with npm's words when that fails. */
export function installPeers(): void {
  const lock = readFileSync(join(FOLDER, "package-lock.json"), "utf8");
  if (existsSync(MARK) && readFileSync(MARK, "utf8") === lock) return;
  const npm = Bun.spawnSync(["npm", "ci", "--no-audit", "--no-fund"], {
    cwd: FOLDER,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: INSTALL_TIMEOUT_MS,
  });
  if (!npm.success) throw new Error(`npm ci in bench/peers failed:\n${npm.stderr.toString().trim()}`);
  writeFileSync(MARK, lock);
}

/** Versions of what is measured, as package.json pins them. */
export function peerVersions(): Readonly<Record<string, string>> {
  const manifest: { dependencies: Record<string, string> } = JSON.parse(
    readFileSync(join(FOLDER, "package.json"), "utf8"),
  );
  return manifest.dependencies;
}
