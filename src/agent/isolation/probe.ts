/** Whether bubblewrap works here, tried with the very sandbox that jobs get; and if not, why and what to do. */
import { readFileSync } from "node:fs";
import { errorText } from "../errorText.ts";
import { bubblewrapArguments, type SandboxView } from "./bubblewrap.ts";

const PROBE_TIMEOUT_MS = 10_000;

/** What a sandbox is tried with. */
export type TriedView = Omit<SandboxView, "forbidsNamespaces">;

/** The sandbox works, or the reason why not and what helps. */
export type SandboxProbe =
  | { readonly program: string; readonly version: string; readonly forbidsNamespaces: boolean }
  | { readonly reason: string; readonly advice: string };

/** Starts one sandbox that does nothing. */
export async function probeSandbox(view: TriedView): Promise<SandboxProbe> {
  if (process.platform !== "linux") {
    return { reason: `there is no bubblewrap for ${process.platform}`, advice: "run the agent on Linux" };
  }
  const program = Bun.which("bwrap");
  if (program === null) {
    return { reason: "bubblewrap is not installed", advice: "install the package bubblewrap" };
  }
  let tried = await start(program, { ...view, forbidsNamespaces: true });
  const forbidsNamespaces = tried.exitCode === 0;
  if (!forbidsNamespaces) tried = await start(program, { ...view, forbidsNamespaces: false });
  if (tried.exitCode === 0) {
    const { output } = await run([program, "--version"]);
    return { program, version: /\d[\d.]*/.exec(output)?.[0] ?? "unknown", forbidsNamespaces };
  }
  const said = tried.output.split("\n")[0]?.trim() ?? "";
  const reason = said === "" ? `bubblewrap ended with exit code ${tried.exitCode}` : said;
  return { reason, advice: advice(reason) };
}

/** The workspace of the try is a folder that every system has; nothing is written to it. */
function start(program: string, view: SandboxView): ReturnType<typeof run> {
  const options = bubblewrapArguments(view, { workspace: "/usr", cwd: "/", reads: [], env: {} });
  return run([program, ...options, "--", "/bin/sh", "-c", ": > /dev/null"]);
}

async function run(argv: string[]): Promise<{ exitCode: number; output: string }> {
  try {
    const child = Bun.spawn(argv, {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH: "/usr/local/bin:/usr/bin:/bin" },
      timeout: PROBE_TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const exitCode = await child.exited;
    if (child.signalCode === "SIGKILL") {
      return { exitCode, output: `bubblewrap did not end within ${PROBE_TIMEOUT_MS / 1_000} s` };
    }
    return { exitCode, output: stderr === "" ? stdout : stderr };
  } catch (error) {
    return { exitCode: 126, output: errorText(error) };
  }
}

function advice(reason: string): string {
  if (/proc on/.test(reason)) {
    return "a container needs its own /proc unmasked: with Docker --security-opt systempaths=unconfined";
  }
  if (numberIn("/proc/sys/user/max_user_namespaces") === 0) {
    return "allow user namespaces: sysctl user.max_user_namespaces=10000";
  }
  if (numberIn("/proc/sys/kernel/unprivileged_userns_clone") === 0) {
    return "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1";
  }
  if (numberIn("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === 1) {
    return "give bubblewrap an AppArmor profile with `userns`, or sysctl kernel.apparmor_restrict_unprivileged_userns=0";
  }
  return "user namespaces are refused: a container needs them allowed, with Docker --security-opt seccomp=unconfined --security-opt apparmor=unconfined";
}

/** A number of the kernel's settings; null where it has no such setting. */
export function numberIn(file: string): number | null {
  try {
    return Number(readFileSync(file, "utf8").trim());
  } catch {
    return null;
  }
}
