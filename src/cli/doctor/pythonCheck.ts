/** Whether jobs of the kind `script` can run here. */
import { type Finding, ok, warn } from "./finding.ts";

const PROBE_TIMEOUT_MS = 10_000;
const PROBE = `
import platform
try:
    import ensurepip, venv
    print(platform.python_version(), "venv")
except ImportError:
    print(platform.python_version())`;

export function pythonCheck(): Finding {
  const program = Bun.which("python3");
  const advice = "scripts need it: install Python 3, or name one to the agent by --python";
  if (program === null) return warn("python", "python3 was not found", advice);
  const run = Bun.spawnSync([program, "-c", PROBE], { timeout: PROBE_TIMEOUT_MS, stderr: "ignore" });
  const [version = "", venv] = run.stdout.toString().trim().split(" ");
  if (run.exitCode !== 0 || version === "") return warn("python", `${program} does not work`, advice);
  const uv = Bun.which("uv");
  if (uv !== null) return ok("python", `${version}, environments by uv`);
  if (venv !== undefined) return ok("python", `${version}, environments by venv and pip`);
  return warn(
    "python",
    `${version}, but without venv`,
    "scripts with requirements need it: install python3-venv, or uv",
  );
}
