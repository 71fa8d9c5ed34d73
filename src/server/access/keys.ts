/**
 * The keys in force: those of the settings, those of the key file as it is now, and the server's own.
 *
 * A server that has once asked for a key goes on asking until it ends: taking the last key away closes it and
 * does not open it.
 */
import { stat } from "node:fs/promises";
import type { Logger } from "pino";
import { type ConfiguredKey, digestOf, type KnownKey } from "./apiKey.ts";
import { knownKeys, readKeyFile } from "./keyFile.ts";
import { KeyRing } from "./keyRing.ts";

export interface KeysOptions {
  readonly configured: readonly ConfiguredKey[];
  /** Null where there is none. */
  readonly filePath: string | null;
  /** A key with the role `work` for the agent that runs beside the server. It does not make others need one. */
  readonly ownKey: string | null;
  /** How often the file is looked at for changes. */
  readonly filePollMs: number;
  readonly logger: Logger;
}

export class Keys {
  readonly #options: KeysOptions;
  readonly #fixed: readonly KnownKey[];
  #ring: KeyRing;
  #isRequired: boolean;
  /** What tells one version of the file from another; empty where there is no file. */
  #fileMark = "";
  #timer: Timer | null = null;

  /** @throws KeyFileError */
  static async open(options: KeysOptions): Promise<Keys> {
    const mark = options.filePath === null ? "" : await markOf(options.filePath);
    const stored = options.filePath === null ? [] : readKeyFile(options.filePath);
    const keys = new Keys(options, knownKeys(stored));
    keys.#fileMark = mark;
    keys.#watch();
    return keys;
  }

  private constructor(options: KeysOptions, fromFile: readonly KnownKey[]) {
    this.#options = options;
    const configured = options.configured.map(
      ({ role, key }, place): KnownKey => ({
        id: `configured-${place + 1}`,
        role,
        digest: digestOf(key),
        isOwn: false,
      }),
    );
    const { ownKey } = options;
    const own: readonly KnownKey[] =
      ownKey === null ? [] : [{ id: "own", role: "work", digest: digestOf(ownKey), isOwn: true }];
    this.#fixed = [...configured, ...own];
    this.#ring = new KeyRing([...this.#fixed, ...fromFile]);
    this.#isRequired = configured.length + fromFile.length > 0;
  }

  /** False as long as there has never been a key: everybody may do everything then. */
  get isRequired(): boolean {
    return this.#isRequired;
  }

  /** Null when no key is that text. */
  find(text: string): KnownKey | null {
    return this.#ring.find(text);
  }

  /** The key that a token is bound to; null when it is not there, or not any more. */
  findBound(binding: string): KnownKey | null {
    return this.#ring.findBound(binding);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #watch(): void {
    const path = this.#options.filePath;
    if (path === null) return;
    this.#timer = setTimeout(() => {
      void this.#look(path).finally(() => {
        if (this.#timer !== null) this.#watch();
      });
    }, this.#options.filePollMs);
    this.#timer.unref();
  }

  async #look(path: string): Promise<void> {
    try {
      const mark = await markOf(path);
      if (mark === this.#fileMark) return;
      const fromFile = knownKeys(readKeyFile(path));
      this.#fileMark = mark;
      this.#ring = new KeyRing([...this.#fixed, ...fromFile]);
      this.#isRequired ||= fromFile.length > 0;
      this.#options.logger.info({ keys: fromFile.length }, "the key file was read again");
    } catch (error) {
      // The keys of the last good file stay in force; nobody gets in by breaking the file.
      this.#options.logger.error({ err: error }, "the key file cannot be used");
    }
  }
}

async function markOf(path: string): Promise<string> {
  try {
    const { ino, mtimeMs, ctimeMs, size } = await stat(path);
    return `${ino} ${mtimeMs} ${ctimeMs} ${size}`;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code === "ENOENT" || code === "ENOTDIR") return "";
    throw error;
  }
}
