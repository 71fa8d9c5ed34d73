/** The key by which this agent signs provenance: made at its first start, kept in its state directory. */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { makeNodeKey, type NodeKey, nodeKeyText, readNodeKey } from "../domain/provenance.ts";
import { errorText } from "./errorText.ts";
import { StateDirError } from "./stateLock.ts";

/** Name of the file in the state directory; nobody but its owner reads it. */
const KEY_FILE = "node-key";

/**
 * The key in the state directory, made where there is none. The caller holds the directory's lock.
 *
 * @throws StateDirError when the file cannot be read or written, or holds no key: a node with a new key would no longer
 *   be the one that its records name, so none is made over it
 */
export async function nodeKeyIn(stateDir: string): Promise<NodeKey> {
  const path = join(stateDir, KEY_FILE);
  try {
    if (existsSync(path)) {
      if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
      return await readNodeKey(readFileSync(path, "utf8"));
    }
    const key = await makeNodeKey();
    write(path, await nodeKeyText(key));
    return key;
  } catch (error) {
    throw new StateDirError(
      `the node's key ${path} cannot be used: ${errorText(error)}; put it back, or remove it to begin with a new one`,
    );
  }
}

/** Whole or not at all: a torn key would stop the agent for good. */
function write(path: string, text: string): void {
  const fresh = `${path}.new`;
  const descriptor = openSync(fresh, "w", 0o600);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(fresh, path);
}
