/** Words and exit codes for a process that could not be started, as shells have them. */
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { errorText } from "./errorText.ts";
import { MachineBusyError } from "./machineFault.ts";
import { JobFault } from "./runner.ts";
import { systemCode } from "./systemCode.ts";

const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const TRANSIENT = new Set(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE", "ETXTBSY"]);

/** Turns what `Bun.spawn` threw into the job's fault or the machine's. */
export function spawnFault(error: unknown, program: string, cwd: string): JobFault | MachineBusyError {
  const code = systemCode(error);
  const name = JSON.stringify(program);
  if (TRANSIENT.has(code)) return new MachineBusyError(`cannot start a process now: ${errorText(error)}`);
  if (!isDirectory(cwd)) {
    const what = existsSync(cwd) ? "is not a directory" : "does not exist";
    return new JobFault(`the working directory ${JSON.stringify(cwd)} ${what}`, NOT_EXECUTABLE);
  }
  if (code === "ENOENT" || code === "ENOTDIR") {
    return program.includes("/") && existsSync(resolve(cwd, program))
      ? new JobFault(`the program ${name} names an interpreter that does not exist`, NOT_EXECUTABLE)
      : new JobFault(`the program ${name} was not found`, NOT_FOUND);
  }
  if (code === "EACCES" || code === "EPERM")
    return new JobFault(`the program ${name} is not executable`, NOT_EXECUTABLE);
  if (code === "ENOEXEC") {
    return new JobFault(
      `the program ${name} is neither a binary for this machine nor begins with #!`,
      NOT_EXECUTABLE,
    );
  }
  if (code === "E2BIG")
    return new JobFault("arguments and environment are too long for the system", NOT_EXECUTABLE);
  return new JobFault(`the program ${name} could not be started: ${errorText(error)}`, NOT_EXECUTABLE);
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
