/** Checks of what this machine gives for the isolation of jobs. None of it is needed to run them. */
import { machineReport } from "../../agent/isolation/machineReport.ts";
import { type Finding, ok, warn } from "./finding.ts";

export async function isolationChecks(): Promise<Finding[]> {
  const report = await machineReport();
  const { sandbox, withoutNetwork, userNamespaces, cgroups } = report;
  return [
    "program" in sandbox
      ? ok(
          "sandbox",
          `bubblewrap ${sandbox.version} works: binaries and scripts are isolated, every job with --isolation required`,
        )
      : warn("sandbox", `jobs cannot be isolated: ${sandbox.reason}`, sandbox.advice),
    "max" in userNamespaces
      ? ok("namespaces", `user namespaces are allowed, up to ${userNamespaces.max}`)
      : warn("namespaces", `no user namespaces: ${userNamespaces.reason}`, "a sandbox needs them"),
    networkFinding(withoutNetwork),
    "description" in cgroups
      ? ok("cgroups", `${cgroups.description}: limits hold for all processes of a job together`)
      : warn(
          "cgroups",
          `none for jobs: ${cgroups.reason}`,
          "start the agent as a systemd service with Delegate=yes, or with systemd-run --user --scope -p Delegate=yes",
        ),
    limitsFinding(report.hasProcessLimits, report.canCountProcesses, "description" in cgroups),
  ];
}

type Probe = Awaited<ReturnType<typeof machineReport>>["withoutNetwork"];

function networkFinding(probe: Probe): Finding {
  if (probe === null) {
    return warn("network", "jobs cannot be kept from the network", "a sandbox is needed for it");
  }
  if ("program" in probe) return ok("network", "isolated jobs can be kept from the network");
  return warn(
    "network",
    `isolated jobs cannot be kept from the network: ${probe.reason}`,
    "start agents with --job-network allow, or allow network namespaces",
  );
}

function limitsFinding(hasLimits: boolean, canCount: boolean, hasGroups: boolean): Finding {
  if (!hasLimits) {
    return warn("rlimits", "jobs cannot be limited on this system", "run agents on Linux");
  }
  if (hasGroups) return ok("rlimits", "CPU time of each process; the rest is left to control groups");
  if (canCount) return ok("rlimits", "memory and CPU time of each process, number of processes");
  return warn(
    "rlimits",
    "memory and CPU time of each process; the number of root's processes cannot be limited",
    "run the agent as another user than root, or give it control groups",
  );
}
