/**
 * Binaries on this machine, by checksum, shared by all agents of a user.
 *
 * A binary is checked before every run, whoever put it there. It is locked while a job uses it, so that making room
 * leaves it alone; a download has its part locked, so that one agent at a time fills it, and the next one goes on
 * where one was killed. A binary appears under its name whole and checked, or not at all.
 */
import { chmodSync, closeSync, constants, fstatSync, futimesSync, renameSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { AgentLog } from "../agentLog.ts";
import { errorText } from "../errorText.ts";
import { type MachineBusyError, machineFault } from "../machineFault.ts";
import { JobFault } from "../runner.ts";
import { CacheFolder, type CachePaths, isFileAt, isThere, openLocked } from "./cacheFolder.ts";
import { type Downloaded, type DownloadLimits, download, type Partial } from "./download.ts";
import { tryLock } from "./fileLock.ts";
import { leftPartial, writeSource } from "./partSource.ts";
import { untilAborted } from "./request.ts";
import { sha256OfFile, sha256OfSmallFile } from "./sha256.ts";
import { shownUrl } from "./shownUrl.ts";
import type { OwnServer, Source } from "./source.ts";

export interface BinaryCacheOptions {
  readonly folder: string;
  /** Size of the cache; files in use may hold it above that. */
  readonly maxBytes: number;
  readonly limits: DownloadLimits;
  readonly server: OwnServer;
  readonly log: AgentLog;
}

/** For whom a binary is fetched. */
export interface Wanting {
  readonly signal: AbortSignal;
  /** Says in the job's log what goes on. */
  note(text: string): void;
}

/** A binary that is there until it is released. */
export interface HeldBinary {
  readonly path: string;
  release(): void;
}

/** A download under way, and the jobs that wait for it. */
interface Flight {
  readonly url: string;
  readonly done: Promise<void>;
  readonly abort: AbortController;
  readonly wanting: Set<Wanting>;
}

/** Files up to this size are read and checked at once: most binaries of short jobs. */
const SMALL_BYTES = 256 * 1024;
/** Between two looks whether another agent has finished. */
const LOOK_AGAIN_MS = 100;
/** A binary that is gone each time it is looked for is being removed by somebody. */
const MAX_ROUNDS = 100;
const PERMISSIONS = 0o500;

export class BinaryCache {
  readonly #options: BinaryCacheOptions;
  readonly #folder: CacheFolder;
  readonly #limits: DownloadLimits;
  readonly #flights = new Map<string, Flight>();
  #isOverFull = false;

  constructor(options: BinaryCacheOptions) {
    this.#options = options;
    this.#folder = new CacheFolder(options.folder);
    this.#limits = { ...options.limits, maxBytes: Math.min(options.limits.maxBytes, options.maxBytes) };
  }

  /**
   * The binary of a checksum, checked, and held until `release`. A small one that is there is given at once.
   *
   * @throws JobFault that says why it cannot be had, MachineBusyError when this machine is why; the signal's reason
   */
  hold(sha256: string, source: Source, wanting: Wanting): HeldBinary | Promise<HeldBinary> {
    const paths = this.#folder.pathsOf(sha256);
    const descriptor = openLocked(paths.file);
    if (typeof descriptor === "number") {
      const { size } = fstatSync(descriptor);
      if (size <= SMALL_BYTES && sha256OfSmallFile(descriptor, size) === sha256) {
        return this.#held(paths.file, descriptor);
      }
      closeSync(descriptor);
    }
    return this.#fetched(sha256, source, wanting);
  }

  /** Where it lies. */
  get folder(): string {
    return this.#folder.path;
  }

  /** Removes what nobody uses, that used longest ago first, until there is room; returns how many files. */
  evict(hasRoom: () => Promise<boolean>): Promise<number> {
    return this.#folder.evict(hasRoom);
  }

  /** Ends all downloads. */
  close(): void {
    for (const { abort } of this.#flights.values()) abort.abort(new Error("the agent has ended"));
  }

  async #fetched(sha256: string, source: Source, wanting: Wanting): Promise<HeldBinary> {
    const { signal } = wanting;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      signal.throwIfAborted();
      const held = await this.#heldIfThere(sha256, signal);
      if (held !== null) {
        if (round > 0) {
          wanting.note("verified");
          this.#makeRoom(0);
        }
        return held;
      }
      // The one who has just put it there may not have let go of it yet. Between its arrival and our look there is
      // no pause: in a cache that is too small for its jobs it would be gone by then.
      if (round > 0) await untilAborted(Bun.sleep(LOOK_AGAIN_MS * (0.5 + Math.random())), signal);
      await this.#arrival(sha256, source, wanting);
    }
    throw new JobFault(
      "the binary is removed from the agent's cache as soon as it is there; is it too small?",
    );
  }

  /** A file whose content is not what its name says is thrown away. */
  async #heldIfThere(sha256: string, signal: AbortSignal): Promise<HeldBinary | null> {
    const { file } = this.#folder.pathsOf(sha256);
    const descriptor = openLocked(file);
    if (typeof descriptor !== "number") return null;
    try {
      const actual = await digestOf(file, descriptor, signal);
      if (actual === sha256) return this.#held(file, descriptor);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    if (isFileAt(descriptor, file)) rmSync(file, { force: true });
    closeSync(descriptor);
    this.#options.log.warn("a cached binary was damaged and is fetched again", { sha256 });
    return null;
  }

  #held(path: string, descriptor: number): HeldBinary {
    const now = new Date();
    // Its last use, by which room is made.
    futimesSync(descriptor, now, now);
    let isHeld = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      closeSync(descriptor);
      if (this.#isOverFull) this.#makeRoom(0);
    };
    return { path, release };
  }

  /** One download of a checksum at a time; it goes on for as long as somebody waits for it. */
  async #arrival(sha256: string, source: Source, wanting: Wanting): Promise<void> {
    const running = this.#flights.get(sha256);
    if (running !== undefined) wanting.note(`waiting for the download of ${sha256} for another job`);
    const flight = running ?? this.#takeOff(sha256, source);
    flight.wanting.add(wanting);
    try {
      await untilAborted(flight.done, wanting.signal);
    } catch (error) {
      wanting.signal.throwIfAborted();
      // Another job's address may be wrong where ours is right.
      if (flight.url === source.url.href) throw error;
    } finally {
      flight.wanting.delete(wanting);
      if (flight.wanting.size === 0) flight.abort.abort(new Error("nobody waits for it any more"));
    }
  }

  #takeOff(sha256: string, source: Source): Flight {
    const abort = new AbortController();
    const wanting = new Set<Wanting>();
    const note = (text: string): void => {
      for (const job of wanting) job.note(text);
    };
    const done = Promise.resolve()
      .then(() => this.#fill(sha256, source, note, abort.signal))
      .finally(() => {
        if (this.#flights.get(sha256) === flight) this.#flights.delete(sha256);
      });
    // Those who wait hear of it; when all of them have gone, nobody has to.
    done.catch(() => {});
    const flight: Flight = { url: source.url.href, done, abort, wanting };
    this.#flights.set(sha256, flight);
    abort.signal.addEventListener("abort", () => {
      if (this.#flights.get(sha256) === flight) this.#flights.delete(sha256);
    });
    return flight;
  }

  /** Downloads a binary, or waits until another agent has. */
  async #fill(
    sha256: string,
    source: Source,
    note: (text: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const paths = this.#folder.pathsOf(sha256);
    let hasTold = false;
    const deadline = performance.now() + this.#limits.totalTimeoutMs;
    for (;;) {
      signal.throwIfAborted();
      this.#makeFolder(sha256);
      const part = await this.#openPart(paths);
      if (part !== null) {
        try {
          // Another one may have finished it between our look and our lock.
          if (!isThere(paths.file)) await this.#fillPart(sha256, source, part, paths, note, signal);
        } finally {
          // A part that holds nothing is of no use to the next one.
          if (fstatSync(part.fd).size === 0 && isFileAt(part.fd, paths.part)) {
            rmSync(paths.part, { force: true });
            rmSync(paths.source, { force: true });
          }
          await part.close();
        }
        return;
      }
      if (!hasTold) note("waiting for another agent of this machine, which downloads the same binary");
      hasTold = true;
      if (performance.now() > deadline) {
        throw new JobFault(
          `another agent has not downloaded ${sha256} within ${this.#limits.totalTimeoutMs} ms`,
        );
      }
      await untilAborted(Bun.sleep(LOOK_AGAIN_MS), signal);
      if (isThere(paths.file)) return;
    }
  }

  #makeFolder(sha256: string): void {
    try {
      this.#folder.make(sha256);
    } catch (error) {
      throw this.#fault(error) ?? new JobFault(`the agent's cache cannot be used: ${errorText(error)}`);
    }
  }

  /** The part with its lock; null when another agent has it. */
  async #openPart({ part }: CachePaths): Promise<FileHandle | null> {
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    let file: FileHandle;
    try {
      file = await open(part, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    } catch (error) {
      throw this.#fault(error) ?? new JobFault(`the agent's cache cannot be written: ${errorText(error)}`);
    }
    if (tryLock(file.fd, "exclusive") && isFileAt(file.fd, part)) return file;
    await file.close();
    return null;
  }

  async #fillPart(
    sha256: string,
    source: Source,
    file: FileHandle,
    paths: CachePaths,
    note: (text: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const urlHash = new Bun.CryptoHasher("sha256").update(source.url.href).digest("hex");
    let partial = await leftPartial(file, paths, urlHash);
    for (;;) {
      const { sizeBytes, isPieced } = await this.#download(
        source,
        file,
        paths,
        partial,
        urlHash,
        note,
        signal,
      );
      const actual = await sha256OfFile(file, signal);
      if (actual === sha256) break;
      await file.truncate(0);
      if (!isPieced) {
        rmSync(paths.part, { force: true });
        rmSync(paths.source, { force: true });
        throw new JobFault(
          `checksum mismatch: expected ${sha256}, got ${actual} (${sizeBytes} bytes from ${shownUrl(source.url)})`,
        );
      }
      // What was left of an earlier try may have been of another version.
      note("the continued download does not have the checksum; downloading it from the beginning");
      partial = { sizeBytes: 0, validator: null };
    }
    chmodSync(paths.part, PERMISSIONS);
    renameSync(paths.part, paths.file);
    rmSync(paths.source, { force: true });
  }

  async #download(
    source: Source,
    file: FileHandle,
    paths: CachePaths,
    partial: Partial,
    urlHash: string,
    note: (text: string) => void,
    signal: AbortSignal,
  ): Promise<Downloaded> {
    const shown = shownUrl(source.url);
    let isFirst = true;
    try {
      return await download(
        source,
        file,
        partial,
        this.#limits,
        this.#options.server,
        {
          onAnswer: (totalBytes, startBytes) => {
            const size = totalBytes === null ? "size not told" : megabytes(totalBytes);
            const from = startBytes === 0 ? "" : `, going on after ${megabytes(startBytes)}`;
            if (isFirst) note(`downloading ${shown} (${size}${from})`);
            isFirst = false;
            this.#makeRoom((totalBytes ?? startBytes) - startBytes);
          },
          onValidator: (validator) => writeSource(paths.source, { urlHash, validator }),
          place: { folder: this.#folder.path, setting: "cache-dir" },
          onDiskFull: async (neededBytes) =>
            this.#folder.makeRoom(0, this.#keptBytes(neededBytes)).removedBytes > 0,
          onRetry: (reason, pauseMs) => note(`${reason}; trying again in ${(pauseMs / 1_000).toFixed(1)} s`),
        },
        signal,
      );
    } catch (error) {
      if (error instanceof JobFault || signal.aborted) throw error;
      throw this.#fault(error) ?? new JobFault(`${shown} could not be downloaded: ${errorText(error)}`);
    }
  }

  /** What was thrown, where it is the machine's and not the job's. */
  #fault(error: unknown): MachineBusyError | null {
    return machineFault(error, this.#folder.path, "cache-dir", true);
  }

  #makeRoom(neededBytes: number): void {
    const { maxBytes } = this.#options;
    const { totalBytes } = this.#folder.makeRoom(neededBytes, maxBytes);
    this.#isOverFull = totalBytes + neededBytes > maxBytes;
  }

  /** How large the cache may stay when the disk has no room for so many bytes more. */
  #keptBytes(neededBytes: number): number {
    return Math.max(0, this.#folder.makeRoom(0, Number.POSITIVE_INFINITY).totalBytes - neededBytes);
  }
}

/** Reads the file of a lock through a handle of its own, which can be waited for. */
async function digestOf(path: string, descriptor: number, signal: AbortSignal): Promise<string | null> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return isFileAt(descriptor, path) && isFileAt(file.fd, path) ? await sha256OfFile(file, signal) : null;
  } finally {
    await file.close();
  }
}

function megabytes(bytes: number): string {
  return bytes < 100_000 ? `${bytes} bytes` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
