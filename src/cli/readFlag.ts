/** Reads flags that are no settings, with errors that name them. */
import { type SettingKind, SettingValueError } from "./settingKind.ts";
import { UsageError } from "./usageError.ts";

/** @throws UsageError naming the flag and what is allowed */
export function readFlag<T>(flag: string, value: unknown, kind: SettingKind<T>): T {
  try {
    return kind.read(value);
  } catch (error) {
    if (!(error instanceof SettingValueError)) throw error;
    throw new UsageError(`${flag}: ${error.message}`);
  }
}

/** The same for a flag that may be absent. */
export function readOptionalFlag<T>(flag: string, value: unknown, kind: SettingKind<T>): T | undefined {
  return value === undefined ? undefined : readFlag(flag, value, kind);
}

/** Splits `key=value`; the value may be empty and may hold further `=`. */
export function readPair(flag: string, text: string): readonly [key: string, value: string] {
  const cut = text.indexOf("=");
  if (cut < 1) throw new UsageError(`${flag}: expected key=value, got ${JSON.stringify(text)}`);
  return [text.slice(0, cut), text.slice(cut + 1)];
}
