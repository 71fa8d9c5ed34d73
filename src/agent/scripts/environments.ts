/**
 * Virtual environments of Python, one for each set of requirements, shared by all jobs and agents of a machine.
 *
 * An environment cannot be moved: its programs name its place. So it is built where it stays, under a lock, and
 * counts only when its marker is written. Who uses one holds it by a shared lock, so that it is neither
 * rebuilt nor thrown away meanwhile. An agent that is killed while it builds leaves no marker and no lock, and the
 * next one begins anew.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson } from "../../domain/canonicalJson.ts";
import type { AgentLog } from "../agentLog.ts";
import { errorText } from "../errorText.ts";
import { JobFault } from "../runner.ts";
import { buildEnvironment, type EnvironmentTools } from "./buildEnvironment.ts";
import { sha256Hex } from "./fileHash.ts";
import type { Python } from "./python.ts";
import { type HeldLock, tryLock } from "./sharedLock.ts";

export interface EnvironmentsOptions {
  /** Folder of all environments; made where there is none. */
  readonly folder: string;
  /** Environments kept; those used longest ago go first. */
  readonly maxEnvironments: number;
  readonly log: AgentLog;
}

/** An environment that a job uses. */
export interface Environment {
  /** The interpreter to run the script with. */
  readonly python: string;
  /** Its folder; null for the system's own. */
  readonly folder: string | null;
  /** `name==version` of all that is installed, sorted. */
  readonly packages: readonly string[];
  /** Lets go of it. */
  release(): void;
}

/** Builds after which an environment that others throw away again and again is given up. */
const MAX_BUILDS = 5;
/** Between two looks whether another job has finished. */
const LOOK_AGAIN_MS = 100;
const MARKER = ".complete";

export class Environments {
  readonly #options: EnvironmentsOptions;

  constructor(options: EnvironmentsOptions) {
    this.#options = options;
  }

  /**
   * The environment of these requirements, built if there is none.
   *
   * @param requirements in normal form, not empty
   * @throws JobFault when the requirements cannot be installed, the signal's reason when it is aborted
   */
  async take(python: Python, requirements: string, tools: EnvironmentTools): Promise<Environment> {
    makeOwnFolder(this.#options.folder);
    const key = environmentKey(python, requirements);
    const folder = join(this.#options.folder, key);
    const lockFile = `${folder}.lock`;
    let hasTold = false;
    for (let builds = 0; builds < MAX_BUILDS; ) {
      tools.signal.throwIfAborted();
      const used = this.#used(key, folder, lockFile, tools);
      if (used !== null) return used;
      // Not waited for: as soon as it is built others use it, for as long as their jobs run.
      const lock = tryLock(lockFile, "exclusive");
      if (lock !== null) {
        builds += 1;
        await this.#build(python, requirements, folder, lock, tools);
        continue;
      }
      if (!hasTold) tools.note("another job prepares the same environment; waiting for it");
      hasTold = true;
      // Unevenly, so that two agents do not get into each other's way again and again.
      await Bun.sleep(LOOK_AGAIN_MS * (0.5 + Math.random()));
    }
    throw new Error(`the environment ${folder} is thrown away as soon as it is made`);
  }

  /** The environment, held; null when it is not there, or is being built or thrown away. */
  #used(key: string, folder: string, lockFile: string, tools: EnvironmentTools): Environment | null {
    const lock = tryLock(lockFile, "shared");
    const packages = lock === null ? null : readMarker(folder);
    if (lock === null || packages === null) {
      lock?.release();
      return null;
    }
    touch(folder);
    tools.note(`environment ${key.slice(0, 12)}: ready (${packages.length} packages)`);
    return { python: join(folder, "bin", "python"), folder, packages, release: lock.release };
  }

  async #build(
    python: Python,
    requirements: string,
    folder: string,
    lock: HeldLock,
    tools: EnvironmentTools,
  ): Promise<void> {
    try {
      // Between our look and our lock it may have been finished.
      if (readMarker(folder) !== null) return;
      await rm(folder, { recursive: true, force: true });
      mkdirSync(folder, { mode: 0o700 });
      const packages = await buildEnvironment(python, requirements, folder, tools);
      const marker = JSON.stringify({ packages, requirements, python: python.version });
      writeFileSync(join(folder, `${MARKER}.new`), marker);
      renameSync(join(folder, `${MARKER}.new`), join(folder, MARKER));
    } catch (error) {
      await rm(folder, { recursive: true, force: true }).catch((failure) =>
        this.#options.log.warn("cannot remove an unfinished environment", {
          folder,
          error: errorText(failure),
        }),
      );
      throw error;
    } finally {
      lock.release();
    }
    await this.#evict(folder);
  }

  /** Throws away what is over the number kept, those used longest ago first; what is in use stays. */
  async #evict(fresh: string): Promise<void> {
    const { folder, maxEnvironments, log } = this.#options;
    const kept = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && /^[0-9a-f]{64}$/.test(entry.name))
      .map((entry) => join(folder, entry.name))
      .map((path) => ({
        path,
        usedMs: statSync(join(path, MARKER), { throwIfNoEntry: false })?.mtimeMs ?? 0,
      }))
      .sort((a, b) => a.usedMs - b.usedMs);
    let over = kept.length - maxEnvironments;
    for (const { path } of kept) {
      if (over <= 0) return;
      if (path === fresh) continue;
      const lock = tryLock(`${path}.lock`, "exclusive");
      if (lock === null) continue;
      try {
        // First the marker: an environment half gone must not be taken for whole.
        await rm(join(path, MARKER), { force: true });
        await rm(path, { recursive: true, force: true });
        over -= 1;
        log.info("removed an environment that was not used for long", { folder: path });
      } catch (error) {
        log.warn("cannot remove an environment", { folder: path, error: errorText(error) });
      } finally {
        lock.release();
      }
    }
  }
}

/** @throws JobFault when others may write in the folder, for then they choose what runs */
function makeOwnFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(path);
  const isOurs = process.getuid === undefined || uid === process.getuid();
  if (isOurs && (mode & 0o022) === 0) return;
  const why = isOurs ? "can be written by others" : "belongs to another user";
  throw new JobFault(`the folder of environments ${path} ${why}: choose another one (cache-dir)`);
}

/** What tells environments apart: the interpreter, and what is installed. */
function environmentKey(python: Python, requirements: string): string {
  const { executable, version, implementation, platform } = python;
  return sha256Hex(canonicalJson({ executable, version, implementation, platform, requirements }));
}

function readMarker(folder: string): readonly string[] | null {
  const path = join(folder, MARKER);
  if (!existsSync(path)) return null;
  try {
    const marker: { packages?: unknown } = JSON.parse(readFileSync(path, "utf8"));
    const { packages } = marker;
    return Array.isArray(packages) && packages.every((name) => typeof name === "string") ? packages : null;
  } catch {
    return null;
  }
}

/** Its marker's time says when an environment was used last. */
function touch(folder: string): void {
  const now = new Date();
  try {
    utimesSync(join(folder, MARKER), now, now);
  } catch {
    // Then it is thrown away sooner than it had to be.
  }
}
