/** The Python that scripts run with: which one it is, asked of itself once. */
import { JobFault } from "../runner.ts";
import { LIST_OWN_PACKAGES, packageList } from "./installedPackages.ts";

/** What a Python says of itself. */
export interface Python {
  /** The interpreter's own path, whatever led to it. */
  readonly executable: string;
  /** `3.11.7`. */
  readonly version: string;
  /** `CPython`, `PyPy`. */
  readonly implementation: string;
  /** Where its library lies: a job that is isolated must see it. */
  readonly prefix: string;
  /** Processor and system that its packages are for. */
  readonly platform: string;
  /** `name==version` of what it has installed, sorted. */
  readonly packages: readonly string[];
}

const PROBE_TIMEOUT_MS = 20_000;

const PROBE = `${LIST_OWN_PACKAGES}
import json, platform, sys, sysconfig
print(json.dumps({
    "packages": listed,
    "executable": sys.executable, "version": platform.python_version(),
    "implementation": platform.python_implementation(), "prefix": sys.base_prefix,
    "platform": sysconfig.get_platform(),
}))`;

/**
 * Asks a Python who it is.
 *
 * @param program name or path, such as `python3`
 * @throws JobFault when there is none, or none of version 3.8 or newer
 */
export async function describePython(
  program: string,
  env: Readonly<Record<string, string>>,
): Promise<Python> {
  const path = Bun.which(program, { PATH: env.PATH ?? "" });
  if (path === null) {
    throw new JobFault(
      `this agent has no Python: ${JSON.stringify(program)} was not found; install Python 3, or name one by --python`,
    );
  }
  const child = Bun.spawn([path, "-c", PROBE], {
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: PROBE_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const exitCode = await child.exited;
  const python = exitCode === 0 ? parse(stdout) : null;
  if (python === null) {
    const said = stderr.trim().split("\n").at(-1) ?? "";
    throw new JobFault(
      `the Python ${path} does not work (exit code ${exitCode})${said === "" ? "" : `: ${said}`}`,
    );
  }
  return python;
}

function parse(text: string): Python | null {
  try {
    const said: Python = JSON.parse(text.trim().split("\n").at(-1) ?? "");
    const isWhole = [said.executable, said.version, said.implementation, said.prefix, said.platform].every(
      (part) => typeof part === "string" && part !== "",
    );
    return isWhole && Array.isArray(said.packages) ? { ...said, packages: packageList(said.packages) } : null;
  } catch {
    return null;
  }
}
