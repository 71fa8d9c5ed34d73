/** What this machine gives for the isolation of jobs, found by trying; for `yardmaster doctor`. */
import { openCgroups } from "./cgroups.ts";
import { numberIn, probeSandbox, type SandboxProbe } from "./probe.ts";
import { privatePaths, systemEntries } from "./systemView.ts";

/** `reason` says why something is not there. */
export interface MachineReport {
  /** A sandbox that keeps the machine's network. */
  readonly sandbox: SandboxProbe;
  /** A sandbox without network; null where there is no sandbox at all. */
  readonly withoutNetwork: SandboxProbe | null;
  readonly userNamespaces: { readonly max: number } | { readonly reason: string };
  readonly cgroups: { readonly description: string } | { readonly reason: string };
  /** Limits of each process alone: everywhere but on other systems than Linux. */
  readonly hasProcessLimits: boolean;
  /** The number of a user's processes can be limited without control groups; root's never can. */
  readonly canCountProcesses: boolean;
}

export async function machineReport(): Promise<MachineReport> {
  const view = {
    system: systemEntries(),
    readOnly: [],
    writable: [],
    hidden: privatePaths("/etc"),
    devices: [],
  };
  const sandbox = await probeSandbox({ ...view, hasNetwork: true });
  return {
    sandbox,
    withoutNetwork: "program" in sandbox ? await probeSandbox({ ...view, hasNetwork: false }) : null,
    userNamespaces: userNamespaces(),
    cgroups: await cgroups(),
    hasProcessLimits: process.platform === "linux",
    canCountProcesses: process.platform === "linux" && !isRoot(),
  };
}

/** Limits of a user's processes do not bind root, in its own namespaces neither. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function userNamespaces(): MachineReport["userNamespaces"] {
  const max = numberIn("/proc/sys/user/max_user_namespaces");
  if (max === null) return { reason: "this kernel has none" };
  if (max === 0) return { reason: "sysctl user.max_user_namespaces is 0" };
  if (isRoot()) return { max };
  if (numberIn("/proc/sys/kernel/unprivileged_userns_clone") === 0) {
    return { reason: "sysctl kernel.unprivileged_userns_clone is 0" };
  }
  if (numberIn("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === 1) {
    return { reason: "AppArmor allows them only to programs that have a profile" };
  }
  return { max };
}

async function cgroups(): Promise<MachineReport["cgroups"]> {
  const offer = openCgroups(`yardmaster-try-${crypto.randomUUID()}`);
  if ("reason" in offer) return offer;
  await offer.groups.close();
  return { description: offer.groups.description };
}
