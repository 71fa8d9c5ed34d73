/** The configuration file: TOML, `./yardmaster.toml` unless `--config` or YARDMASTER_CONFIG names another. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { closestTo } from "./closestTo.ts";
import { SETTING_NAMES, SETTINGS } from "./settings.ts";
import { UsageError } from "./usageError.ts";

export const DEFAULT_FILE = "yardmaster.toml";

export interface ConfigurationFile {
  /** As it is shown in messages. */
  readonly path: string;
  /** Values by the setting's key, as they stand in the file. */
  readonly values: ReadonlyMap<string, unknown>;
}

const KEYS: readonly string[] = SETTING_NAMES.map((name) => SETTINGS[name].key);

/**
 * Reads the file, or returns null when none is named and the default one is absent.
 *
 * @throws UsageError when it cannot be read, is no TOML, or holds a key that is no setting
 */
export function readConfigurationFile(named: string | null, cwd: string): ConfigurationFile | null {
  const path = named ?? DEFAULT_FILE;
  const absolute = resolve(cwd, path);
  if (named === null && !existsSync(absolute)) return null;
  let source: string;
  try {
    source = readFileSync(absolute, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read the configuration file ${path}: ${reasonOf(error)}`);
  }
  let parsed: unknown;
  try {
    parsed = Bun.TOML.parse(source);
  } catch (error) {
    throw new UsageError(`the configuration file ${path} is no valid TOML: ${reasonOf(error)}`);
  }
  return { path, values: flatten(path, parsed) };
}

function flatten(path: string, parsed: unknown): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const [key, value] of entriesOf(parsed)) {
    if (key === "agent") {
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw new UsageError(`${path}: agent: expected a section [agent]`);
      }
      for (const [inner, innerValue] of entriesOf(value)) values.set(`agent.${inner}`, innerValue);
    } else values.set(key, value);
  }
  for (const key of values.keys()) {
    if (KEYS.includes(key)) continue;
    const near = closestTo(key, KEYS);
    const hint = near === null ? "`yardmaster config` lists the settings" : `did you mean ${near}?`;
    throw new UsageError(`${path}: ${key}: no such setting; ${hint}`);
  }
  return values;
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
