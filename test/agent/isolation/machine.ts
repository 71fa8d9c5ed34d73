/** What this machine gives, found once: tests that need more are skipped, and say why in their names. */
import { machineReport } from "../../../src/agent/isolation/machineReport.ts";
import { testNeeding } from "../../testNeeding.ts";

const report = await machineReport();
const { sandbox, withoutNetwork, cgroups } = report;

/** Why jobs cannot be isolated here; null when they can. */
export const noSandbox: string | null =
  "reason" in sandbox
    ? sandbox.reason
    : withoutNetwork !== null && "reason" in withoutNetwork
      ? withoutNetwork.reason
      : null;
/** Why there are no control groups; null when there are. */
export const noCgroups: string | null = "reason" in cgroups ? cgroups.reason : null;

export const sandboxTest = testNeeding(noSandbox);
export const cgroupTest = testNeeding(noSandbox ?? noCgroups);

/** Why an agent cannot be started as another user: only root can, and only where that user can read the program. */
export const noOtherUser: string | null =
  noSandbox ?? (process.getuid?.() === 0 ? otherUserFault() : "only root can start an agent as another user");
export const otherUserTest = testNeeding(noOtherUser);

/** Puts a command under the user `nobody`. */
export function asNobody(argv: readonly string[]): string[] {
  return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--", ...argv];
}

function otherUserFault(): string | null {
  if (Bun.which("setpriv") === null) return "setpriv is not installed";
  const run = Bun.spawnSync(asNobody([process.execPath, "--version"]), { stderr: "pipe" });
  if (run.exitCode !== 0) return "another user cannot read the program";
  return Bun.spawnSync(asNobody(["test", "-r", import.meta.path])).exitCode === 0
    ? null
    : "another user cannot read the checkout";
}
