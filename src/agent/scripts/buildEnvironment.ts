/** Makes one virtual environment: with `uv` where there is one, else with `venv` and `pip`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../removeTree.ts";
import { JobFault, type Launch, type RunContext } from "../runner.ts";
import { LIST_ENVIRONMENT, MAX_LIST_BYTES, packageList } from "./installedPackages.ts";
import { LastLines } from "./lastLines.ts";
import type { Python } from "./python.ts";
import { askedInstallers, installedText } from "./requirements.ts";

/** What building takes of the job that asked first. */
export interface EnvironmentTools extends Pick<RunContext, "signal" | "note" | "step"> {
  /** Path of `uv`; null where it is not installed. */
  readonly uv: string | null;
  /** Settings of the installers, such as the index to ask: `PIP_…`, `UV_…`, proxies. */
  readonly env: Readonly<Record<string, string>>;
  /** Folders of the interpreter that an isolated job must see. */
  readonly reads: readonly string[];
}

/** The empty environment could not be made, before anything of the requirements was looked at. */
export class VenvFault extends JobFault {}

/** Lines of an installer that are kept as the reason of its failure. */
const REASON_LINES = 8;
const REASON_CHARACTERS = 2_000;

/**
 * Builds the environment in `folder`, which is empty; returns what is installed in it.
 *
 * Installing runs code of packages, which may write whatever it likes into `folder`. From then on nothing in it is
 * opened here, only removed.
 *
 * @param requirements as they were given
 * @throws JobFault with the installer's last lines
 */
export async function buildEnvironment(
  python: Python,
  requirements: string,
  folder: string,
  tools: EnvironmentTools,
): Promise<readonly string[]> {
  const { uv } = tools;
  const scratch = join(folder, ".build");
  mkdirSync(scratch);
  const list = join(scratch, "requirements.txt");
  writeFileSync(list, `${installedText(requirements)}\n`, { flag: "wx" });
  const own = join(folder, "bin", "python");
  tools.note(`preparing an environment with ${uv === null ? "pip" : "uv"} (Python ${python.version})`);
  if (uv === null) {
    await install(tools, folder, [python.executable, "-m", "venv", folder], VenvFault);
    const pip = [own, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-color"];
    await install(tools, folder, [...pip, "--progress-bar", "off", "-r", list]);
  } else {
    const venv = [uv, "venv", "--no-project", "--allow-existing", "--python", python.executable, folder];
    await install(tools, folder, venv, VenvFault);
    await install(tools, folder, [uv, "pip", "install", "--no-progress", "--python", own, "-r", list]);
  }
  const packages = await listPackages(tools, folder, python, askedInstallers(requirements));
  // What installers leave behind is not part of the environment.
  await removeTree(scratch);
  await removeTree(join(folder, ".cache"));
  return packages;
}

async function install(
  tools: EnvironmentTools,
  folder: string,
  argv: readonly string[],
  Fault: typeof JobFault | typeof VenvFault = JobFault,
): Promise<void> {
  const last = new LastLines(REASON_LINES, REASON_CHARACTERS, (line) => !line.startsWith("[notice]"));
  const end = await tools.step(launchOf(tools, folder, argv), {
    folder,
    onOutput: (_stream, bytes) => last.append(bytes),
  });
  if (end.exitCode === 0 && end.signal === null) return;
  const what =
    Fault === VenvFault ? "cannot make a virtual environment" : "the requirements cannot be installed";
  if (end.reason === "timeLimit") throw new Fault(`${what}: it took too long (environment-timeout-ms)`);
  const how = end.signal === null ? `exit code ${end.exitCode}` : `signal ${end.signal}`;
  const said = last.text();
  throw new Fault(`${what} (${how})${said === "" ? "" : `:\n${said}`}`);
}

/** Lists what is installed in the environment, by the interpreter that it was made with. */
async function listPackages(
  tools: EnvironmentTools,
  folder: string,
  python: Python,
  asked: readonly string[],
): Promise<readonly string[]> {
  const chunks: Uint8Array[] = [];
  let bytesSaid = 0;
  const argv = [python.executable, "-I", "-S", "-c", LIST_ENVIRONMENT, folder, ...asked];
  const end = await tools.step(launchOf(tools, folder, argv), {
    folder,
    isSilent: true,
    onOutput: (stream, bytes) => {
      if (stream !== "stdout") return;
      bytesSaid += bytes.byteLength;
      if (bytesSaid <= MAX_LIST_BYTES) chunks.push(bytes);
    },
  });
  const lines = end.exitCode === 0 && bytesSaid <= MAX_LIST_BYTES ? parsedList(Buffer.concat(chunks)) : null;
  if (lines === null) throw new JobFault("the environment does not work: Python cannot list its packages");
  return packageList(lines);
}

function parsedList(said: Buffer): readonly unknown[] | null {
  try {
    const lines: unknown = JSON.parse(said.toString("utf8"));
    return Array.isArray(lines) ? lines : null;
  } catch {
    return null;
  }
}

function launchOf(tools: EnvironmentTools, folder: string, argv: readonly string[]): Launch {
  return {
    argv,
    env: { ...tools.env, TMPDIR: join(folder, ".build"), PYTHONUNBUFFERED: "1", PYTHONNOUSERSITE: "1" },
    cwd: folder,
    reads: [...tools.reads, ...(tools.uv === null ? [] : [tools.uv])],
  };
}
