/**
 * Virtual environments of Python, one for each set of requirements, shared by all jobs and agents of a machine.
 *
 * An environment cannot be moved: its programs name its place. So it is built where it stays, under a lock, and
 * counts only when its marker is written. Who uses one holds it by a shared lock, so that it is neither
 * rebuilt nor thrown away meanwhile. An agent that is killed while it builds leaves no marker and no lock, and the
 * next one begins anew.
 *
 * Marker and lock lie beside the environment's folder: in the folder the code of packages may write, beside it no job.
 */
import { existsSync, mkdirSync, readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "../../domain/canonicalJson.ts";
import type { AgentLog } from "../agentLog.ts";
import { errorText } from "../errorText.ts";
import { removeTree } from "../removeTree.ts";
import { JobFault } from "../runner.ts";
import { buildEnvironment, type EnvironmentTools } from "./buildEnvironment.ts";
import { environmentFault } from "./environmentFault.ts";
import { markerUsedMs, readMarker, removeMarker, touchMarker, writeMarker } from "./environmentMarker.ts";
import { sha256Hex } from "./fileHash.ts";
import { evictOlderEnvironments } from "./olderEnvironments.ts";
import type { Python } from "./python.ts";
import { normalRequirements } from "./requirements.ts";
import { type HeldLock, tryLock } from "./sharedLock.ts";
import { syncDisk } from "./syncDisk.ts";

export interface EnvironmentsOptions {
  /** Folder of all environments; made where there is none. */
  readonly folder: string;
  /** Environments kept; those used longest ago go first. */
  readonly maxEnvironments: number;
  /** Where agents of earlier versions keep theirs; what nobody uses there is removed after a week. */
  readonly olderFolder?: string;
  readonly log: AgentLog;
}

/** An environment that a job uses. */
export interface Environment {
  /** The interpreter to run the script with. */
  readonly python: string;
  /** Its folder; null for the system's own. */
  readonly folder: string | null;
  /** All that is installed, sorted: `name==version`, or `name @ address` for what came from no index. */
  readonly packages: readonly string[];
  /** Lets go of it. */
  release(): void;
}

/** Files of one environment. */
interface Place {
  readonly key: string;
  readonly folder: string;
  readonly marker: string;
  readonly lock: string;
}

/** What a look at an environment found. */
type Found =
  | { readonly state: "usable"; readonly environment: Environment }
  /** Not there, or being built or thrown away. */
  | { readonly state: "absent" }
  | { readonly state: "damaged"; readonly id: string; readonly why: string };

/** Builds after which an environment that others throw away again and again is given up. */
const MAX_BUILDS = 5;
/** Environments of earlier versions' agents that nobody used for so long are removed. */
const OLDER_KEPT_MS = 7 * 86_400_000;
/** Between two looks whether another job has finished. */
const LOOK_AGAIN_MS = 100;
/** An environment's folder and the files beside it begin with its key. */
const NAME = /^([0-9a-f]{64})(?:\.lock|\.json|\.json\.new)?$/;

/**
 * Folder of the cache in which environments lie. No job may write in it, but for what is shown to it.
 *
 * Agents of earlier versions have another: they look for a marker in an environment's folder, and would make anew under
 * our marker what has none there.
 */
export const ENVIRONMENTS_FOLDER = "environments-v2";

export class Environments {
  readonly #options: EnvironmentsOptions;
  /** Room is being made. */
  #tidying: Promise<void> | null = null;

  constructor(options: EnvironmentsOptions) {
    this.#options = options;
  }

  /**
   * The environment of these requirements, built if there is none that works.
   *
   * @param requirements as they were given, with something in them
   * @throws JobFault when the requirements cannot be installed, the signal's reason when it is aborted
   */
  async take(python: Python, requirements: string, tools: EnvironmentTools): Promise<Environment> {
    makeOwnFolder(this.#options.folder);
    // Without links in it: by it the isolation of jobs tells what it hides from what it shows.
    const root = realpathSync(this.#options.folder);
    const place = placeIn(root, environmentKey(python, requirements));
    let hasTold = false;
    for (let builds = 0; builds < MAX_BUILDS; ) {
      tools.signal.throwIfAborted();
      const found = this.#look(place, python, tools);
      if (found.state === "usable") {
        if (builds > 0) await this.#makeRoom();
        return found.environment;
      }
      // Not waited for: as soon as it is built others use it, for as long as their jobs run.
      const lock = tryLock(place.lock, "exclusive");
      if (lock !== null) {
        builds += await this.#buildUnlessOthersHave(found, python, requirements, place, lock, tools);
        continue;
      }
      if (!hasTold) tools.note(waitingFor(found));
      hasTold = true;
      // Unevenly, so that two agents do not get into each other's way again and again.
      await Bun.sleep(LOOK_AGAIN_MS * (0.5 + Math.random()));
    }
    throw new Error(`the environment ${place.folder} is thrown away as soon as it is made`);
  }

  /** Where environments lie. */
  get folder(): string {
    return this.#options.folder;
  }

  /** Removes environments that nobody uses, those used longest ago first, until there is room; returns how many. */
  async evict(hasRoom: () => Promise<boolean>): Promise<number> {
    const { olderFolder } = this.#options;
    let removed = olderFolder === undefined ? 0 : await evictOlderEnvironments(olderFolder, hasRoom);
    for (const { place, usedMs } of this.#places()) {
      if (await hasRoom()) break;
      if (await this.#remove(place, usedMs)) removed += 1;
    }
    return removed;
  }

  /** Resolves when no environment is being thrown away any more. */
  async settled(): Promise<void> {
    await this.#tidying;
  }

  #look(place: Place, python: Python, tools: EnvironmentTools): Found {
    const lock = tryLock(place.lock, "shared");
    const marker = lock === null ? null : readMarker(place.marker);
    if (lock === null || marker === null) {
      lock?.release();
      return { state: "absent" };
    }
    const { id, packages } = marker;
    const why = environmentFault(place.folder, python);
    if (why !== null) {
      lock.release();
      return { state: "damaged", id, why };
    }
    touchMarker(place.marker);
    tools.note(`environment ${place.key.slice(0, 12)}: ready (${packages.length} packages)`);
    const release = (): void => {
      lock.release();
      // What was in use could not make room for others.
      void this.#makeRoom();
    };
    const { folder } = place;
    return {
      state: "usable",
      environment: { python: join(folder, "bin", "python"), folder, packages, release },
    };
  }

  /** @returns how many environments were built: none when somebody else did between our look and our lock */
  async #buildUnlessOthersHave(
    found: Exclude<Found, { state: "usable" }>,
    python: Python,
    requirements: string,
    place: Place,
    lock: HeldLock,
    tools: EnvironmentTools,
  ): Promise<0 | 1> {
    try {
      const expected = found.state === "damaged" ? found.id : null;
      if ((readMarker(place.marker)?.id ?? null) !== expected) return 0;
      if (found.state === "damaged") {
        tools.note(`environment ${place.key.slice(0, 12)}: damaged (${found.why}); making it anew`);
        this.#options.log.warn("an environment was damaged and is made anew", {
          ...{ folder: place.folder, reason: found.why },
        });
      }
      await this.#build(python, requirements, place, tools);
      return 1;
    } catch (error) {
      await this.#discard(place, lock).catch((failure) =>
        this.#options.log.warn("cannot remove an unfinished environment", {
          ...{ folder: place.folder, error: errorText(failure) },
        }),
      );
      throw error;
    } finally {
      lock.release();
    }
  }

  async #build(python: Python, requirements: string, place: Place, tools: EnvironmentTools): Promise<void> {
    const { folder, marker } = place;
    await removeMarker(marker);
    await removeTree(folder);
    mkdirSync(folder, { mode: 0o700 });
    const packages = await buildEnvironment(python, requirements, folder, tools);
    const why = environmentFault(folder, python);
    if (why !== null) throw new JobFault(`the environment does not work: ${why}`);
    // Files that are empty after a power cut must not be taken for an environment.
    await syncDisk(this.#options.folder, tools.signal, this.#options.log);
    await writeMarker(marker, packages, python);
  }

  /** Removes an environment, and its lock last: whoever locks it then locks another file. */
  async #discard(place: Place, lock: HeldLock): Promise<void> {
    await removeMarker(place.marker);
    await removeTree(place.folder);
    lock.removeAndRelease();
  }

  /**
   * Throws away what is over the number kept, those used longest ago first, and what is left of environments that were
   * never finished; what is in use stays.
   */
  #makeRoom(): Promise<void> {
    this.#tidying ??= this.#tidied()
      .catch((error) =>
        this.#options.log.warn("cannot make room for environments", {
          ...{ folder: this.#options.folder, error: errorText(error) },
        }),
      )
      .finally(() => {
        this.#tidying = null;
      });
    return this.#tidying;
  }

  async #tidied(): Promise<void> {
    const { olderFolder, maxEnvironments, log } = this.#options;
    if (olderFolder !== undefined)
      await evictOlderEnvironments(olderFolder, async () => false, OLDER_KEPT_MS);
    const places = this.#places();
    let over = places.filter(({ usedMs }) => usedMs !== null).length - maxEnvironments;
    for (const { place, usedMs } of places) {
      if (usedMs === null) {
        await this.#remove(place, null);
        continue;
      }
      if (over <= 0) return;
      if (!(await this.#remove(place, usedMs))) continue;
      over -= 1;
      log.info("removed an environment that was not used for long", { folder: place.folder });
    }
  }

  /** All there are, those never finished first, then those used longest ago. */
  #places(): { readonly place: Place; readonly usedMs: number | null }[] {
    const { folder } = this.#options;
    if (!existsSync(folder)) return [];
    const keys = new Set(readdirSync(folder).flatMap((name) => NAME.exec(name)?.[1] ?? []));
    return [...keys]
      .map((key) => placeIn(folder, key))
      .map((place) => ({ place, usedMs: markerUsedMs(place.marker) }))
      .sort((a, b) => (a.usedMs ?? 0) - (b.usedMs ?? 0));
  }

  /** @returns false when it is in use, or was used since `usedMs`, or finished */
  async #remove(place: Place, usedMs: number | null): Promise<boolean> {
    const lock = tryLock(place.lock, "exclusive");
    if (lock === null) return false;
    try {
      if (markerUsedMs(place.marker) !== usedMs) return false;
      await this.#discard(place, lock);
      return true;
    } catch (error) {
      const { folder } = place;
      this.#options.log.warn("cannot remove an environment", { folder, error: errorText(error) });
      return false;
    } finally {
      lock.release();
    }
  }
}

function placeIn(root: string, key: string): Place {
  const folder = join(root, key);
  return { key, folder, marker: `${folder}.json`, lock: `${folder}.lock` };
}

function waitingFor({ state }: Found): string {
  return state === "damaged"
    ? "the environment is damaged, and other jobs use it; waiting for their end to make it anew"
    : "another job prepares the same environment; waiting for it";
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
function environmentKey(python: Python, text: string): string {
  const { executable, version, implementation, platform } = python;
  const requirements = normalRequirements(text);
  return sha256Hex(canonicalJson({ executable, version, implementation, platform, requirements }));
}
