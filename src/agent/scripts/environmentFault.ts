/** Whether an environment that was whole still is, told at the cost of some looks at its files. */
import { accessSync, constants, lstatSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { liesIn } from "../isolation/bubblewrap.ts";
import type { Python } from "./python.ts";

/**
 * What is wrong with an environment: null when its interpreter is there and is the one that it was made with. Nothing
 * in it is opened or run, for the code of packages has written it.
 */
export function environmentFault(folder: string, python: Python): string | null {
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return "its folder is gone";
  const settings = lstatSync(join(folder, "pyvenv.cfg"), { throwIfNoEntry: false });
  if (settings?.isFile() !== true || settings.size === 0) return "its pyvenv.cfg is gone";
  const program = realPath(join(folder, "bin", "python"));
  if (program === null) return "its bin/python is gone";
  if (!isExecutable(program)) return "its bin/python cannot be run";
  // Most are links to the interpreter; some Pythons are copied, some start by a program of their own beside it.
  const allowed = [python.executable, folder, python.prefix].map(realPath);
  if (allowed.some((path) => path !== null && path !== "/" && liesIn(program, path))) return null;
  return `its bin/python is ${program}, not ${python.executable}`;
}

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    const entry = statSync(path);
    return entry.isFile() && entry.size > 0;
  } catch {
    return false;
  }
}
