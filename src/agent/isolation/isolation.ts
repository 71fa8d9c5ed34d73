/**
 * Isolation of an agent's jobs: what the machine gives is found out once, at the start; then each job gets its
 * confinement, or none.
 */
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import type { ClaimedJob } from "@yardmaster/client";
import type { JobKind } from "../../domain/job.ts";
import type { AgentLog } from "../agentLog.ts";
import { errorText } from "../errorText.ts";
import { MachineBusyError } from "../machineFault.ts";
import { JobFault, type Launch } from "../runner.ts";
import { bubblewrapArguments, liesIn, type SandboxView } from "./bubblewrap.ts";
import { type Cgroups, openCgroups } from "./cgroups.ts";
import { Confinement } from "./confinement.ts";
import type { IsolationSettings } from "./isolationOptions.ts";
import type { JobCgroup } from "./jobCgroup.ts";
import { hasLimit, type JobLimits, jobLimits } from "./jobLimits.ts";
import { ARGUMENTS_FD, KEEPER, LAUNCHER, LIMITER } from "./launchScripts.ts";
import { isRoot } from "./machineReport.ts";
import { makeOwnDevices, openToAll } from "./ownDevices.ts";
import { probeSandbox } from "./probe.ts";
import { StatusFile } from "./statusFile.ts";
import { acceleratorView, hiddenPaths, networkFiles, privatePaths, systemEntries } from "./systemView.ts";

const CPU_CHECK_EVERY_MS = 500;
/** Bubblewrap takes 9,000 arguments; an environment variable is three. */
const MAX_VARIABLES = 2_500;
/** Environment of what runs outside the sandbox: nothing of a job's may reach it. */
const OUTSIDE_PATH = "/usr/local/bin:/usr/bin:/bin";

/** The machine lacks what `--isolation required` asks for. */
export class IsolationUnavailableError extends Error {
  override readonly name = "IsolationUnavailableError";
}

/** One job as it is to be started. */
export interface ConfinedLaunch {
  readonly job: ClaimedJob;
  readonly launch: Launch;
  readonly workspace: string;
  readonly hasAccelerators: boolean;
  readonly env: Readonly<Record<string, string>>;
  /** Of a program that prepares the job: its number, from 1. */
  readonly step?: number;
}

interface Sandbox {
  readonly program: string;
  readonly view: SandboxView;
  readonly hide: readonly string[];
}

/**
 * Finds out what the machine gives.
 *
 * @param kinds what the agent runs
 * @throws IsolationUnavailableError when isolation is required and something is missing
 */
export async function openIsolation(
  settings: IsolationSettings,
  kinds: readonly JobKind[],
  stateDir: string,
  log: AgentLog,
): Promise<Isolation> {
  const isolated = kinds.filter((kind) => settings.kinds.includes(kind));
  const areAllLimited =
    settings.maxMemoryMb !== null || settings.maxProcesses !== null || settings.maxCpuSeconds !== null;
  const mustCount = settings.mode === "required" && isolated.length > 0;
  const sandbox = isolated.length === 0 ? null : await findSandbox(settings, isolated, stateDir, log);
  let cgroups: Cgroups | null = null;
  if (sandbox !== null || areAllLimited) {
    const tag = createHash("sha256").update(resolve(stateDir)).digest("hex").slice(0, 12);
    const offer = openCgroups(`yardmaster-${tag}`);
    if ("groups" in offer) {
      cgroups = offer.groups;
      const left = await cgroups.removeLeftovers();
      if (left > 0) log.warn("removed control groups that an earlier run had left", { groups: left });
    } else if (mustCount && isRoot()) {
      throw new IsolationUnavailableError(
        `isolation is required, but the number of a job's processes cannot be limited here: no control groups (${offer.reason}), and without them root has no limit; run the agent as another user, or give it control groups`,
      );
    } else log.info("no control groups: limits hold for each process of a job alone", offer);
  }
  return new Isolation(settings, sandbox, cgroups, isolated, stateDir);
}

async function findSandbox(
  settings: IsolationSettings,
  kinds: readonly JobKind[],
  stateDir: string,
  log: AgentLog,
): Promise<Sandbox | null> {
  const view = {
    system: systemEntries(),
    readOnly: [...settings.bindReadOnly, ...(settings.network === "allow" ? networkFiles() : [])],
    writable: settings.bind,
    hidden: privatePaths("/etc"),
    hasNetwork: settings.network === "allow",
    devices: [],
  };
  const hide = [stateDir, ...settings.hide];
  if (isRoot()) {
    const devices = makeOwnDevices(join(stateDir, "dev"));
    const probe = devices === null ? null : await probeSandbox({ ...view, devices });
    if (probe !== null && devices !== null && "program" in probe) {
      const { program, forbidsNamespaces } = probe;
      return { program, view: { ...view, devices, forbidsNamespaces }, hide };
    }
  }
  const probe = await probeSandbox(view);
  if ("program" in probe) {
    if (isRoot()) {
      log.warn("isolated jobs of root own the files in /dev; run the agent as another user", { stateDir });
    }
    return { program: probe.program, view: { ...view, forbidsNamespaces: probe.forbidsNamespaces }, hide };
  }
  if (settings.mode === "required") {
    throw new IsolationUnavailableError(
      `isolation is required, but jobs cannot be isolated here: ${probe.reason}; ${probe.advice}`,
    );
  }
  log.warn("jobs run without isolation", { kinds: kinds.join(","), reason: probe.reason });
  return null;
}

export class Isolation {
  readonly #settings: IsolationSettings;
  readonly #sandbox: Sandbox | null;
  readonly #cgroups: Cgroups | null;
  readonly #kinds: readonly JobKind[];
  readonly #stateDir: string;
  /** Jobs whose CPU time is watched. */
  readonly #watched = new Set<Confinement>();
  #cpuTimer: ReturnType<typeof setInterval> | undefined;

  constructor(
    settings: IsolationSettings,
    sandbox: Sandbox | null,
    cgroups: Cgroups | null,
    kinds: readonly JobKind[],
    stateDir: string,
  ) {
    this.#settings = settings;
    this.#sandbox = sandbox;
    this.#cgroups = cgroups;
    this.#kinds = kinds;
    this.#stateDir = stateDir;
  }

  /** Says whether jobs of all these kinds run in a sandbox. */
  isolatesAll(kinds: readonly JobKind[]): boolean {
    return this.#sandbox !== null && kinds.every((kind) => this.#kinds.includes(kind));
  }

  /**
   * What has to stand around a job; null when it runs as it is.
   *
   * @throws JobFault when the job asks for what isolated jobs do not see, MachineBusyError when the kernel refuses a group
   */
  confine(launch: ConfinedLaunch): Confinement | null {
    const sandbox = this.#kinds.includes(launch.job.kind) ? this.#sandbox : null;
    const limits = jobLimits(launch.job.resources, this.#settings, sandbox !== null);
    if (sandbox === null && !hasLimit(limits)) return null;
    const sandboxOptions = sandbox === null ? null : this.#sandboxOptions(sandbox, launch);
    const cgroup = this.#makeGroup(launch, limits);
    const status = this.#openStatus(cgroup);
    const joins = (cgroup?.joinFiles ?? []).map((file) => `join=${file}`);
    const perProcess = this.#perProcessLimits(limits, sandbox !== null);
    const shell = ["/bin/sh", "-c"];
    const program = launch.launch.argv;
    const confinement = new Confinement({
      argv:
        sandbox === null
          ? [...shell, LIMITER, "yardmaster-job", ...joins, ...perProcess, "--", ...program]
          : [
              ...[...shell, LAUNCHER, "yardmaster-job", ...joins, `input=${nullDevice(sandbox.view)}`, "--"],
              ...[sandbox.program, "--args", String(ARGUMENTS_FD), "--"],
              ...[...shell, KEEPER, "yardmaster-job", ...perProcess, "--", ...program],
            ],
      env: sandbox === null ? launch.env : { PATH: OUTSIDE_PATH },
      cwd: sandbox === null ? resolve(launch.workspace, launch.launch.cwd) : "/",
      input: sandboxOptions === null ? null : new TextEncoder().encode(`${sandboxOptions.join("\0")}\0`),
      status,
      limits,
      cgroup,
      isSandboxed: sandbox !== null,
      program: program[0] ?? "",
      onReleased: (released) => this.#released(released),
      signalName,
    });
    if (limits.cpuSeconds !== null && cgroup?.cpuMs !== null && cgroup !== null) this.#watch(confinement);
    return confinement;
  }

  /** Waits until nothing of the jobs is left, and removes the agent's groups. */
  async close(): Promise<void> {
    clearInterval(this.#cpuTimer);
    await this.#cgroups?.close();
  }

  #sandboxOptions(sandbox: Sandbox, confined: ConfinedLaunch): string[] {
    const { launch, workspace, hasAccelerators, env, step } = confined;
    if (Object.keys(env).length > MAX_VARIABLES) {
      throw new JobFault(`an isolated job may have ${MAX_VARIABLES} environment variables`, 126);
    }
    const cwd = resolve(workspace, launch.cwd);
    const accelerators = hasAccelerators ? acceleratorView() : { devices: [], folders: [] };
    const joinsNetwork = step !== undefined && this.#settings.network === "install";
    const view: SandboxView = {
      ...sandbox.view,
      hasNetwork: sandbox.view.hasNetwork || joinsNetwork,
      readOnly: [...sandbox.view.readOnly, ...accelerators.folders, ...(joinsNetwork ? networkFiles() : [])],
      hidden: [...sandbox.view.hidden, ...hiddenPaths(sandbox.hide)],
      devices: [...sandbox.view.devices, ...accelerators.devices],
    };
    openToAll(sandbox.view.devices);
    requireVisible(cwd, workspace, view);
    return bubblewrapArguments(view, {
      workspace,
      cwd,
      reads: launch.reads ?? [],
      // The agent's home is out of sight; programs that keep files in theirs find a place.
      env: env.HOME === undefined || launch.env.HOME !== undefined ? env : { ...env, HOME: workspace },
    });
  }

  #makeGroup({ job, launch, step = 0 }: ConfinedLaunch, limits: JobLimits): JobCgroup | null {
    if (this.#cgroups === null || !hasLimit(limits)) return null;
    try {
      const name = `job-${job.id}-${job.attempt}${step === 0 ? "" : `-step${step}`}`;
      return this.#cgroups.create(name, limits, launch.countsCpu);
    } catch (error) {
      throw new MachineBusyError(`cannot make a control group now: ${errorText(error)}`);
    }
  }

  #openStatus(cgroup: JobCgroup | null): StatusFile {
    try {
      return new StatusFile(this.#stateDir);
    } catch (error) {
      if (cgroup !== null) this.#cgroups?.remove(cgroup);
      throw new MachineBusyError(`cannot make a file (state-dir): ${errorText(error)}`, {
        folder: this.#stateDir,
      });
    }
  }

  /** Limits of each process alone: all there is without control groups; CPU time and core files in any case. */
  #perProcessLimits(limits: JobLimits, isSandboxed: boolean): string[] {
    const hasGroups = this.#cgroups !== null;
    return [
      ...(isSandboxed ? ["core=0"] : []),
      ...(limits.cpuSeconds === null ? [] : [`cpu-s=${limits.cpuSeconds}`]),
      ...(limits.memoryMb === null || hasGroups ? [] : [`data-kib=${limits.memoryMb * 1024}`]),
      ...(limits.processes === null || hasGroups ? [] : [`processes=${limits.processes}`]),
    ];
  }

  #watch(confinement: Confinement): void {
    this.#watched.add(confinement);
    this.#cpuTimer ??= setInterval(() => {
      for (const watched of this.#watched) watched.checkCpu();
    }, CPU_CHECK_EVERY_MS);
  }

  #released(confinement: Confinement): void {
    this.#watched.delete(confinement);
    if (this.#watched.size === 0) {
      clearInterval(this.#cpuTimer);
      this.#cpuTimer = undefined;
    }
    if (confinement.cgroup !== null) this.#cgroups?.remove(confinement.cgroup);
  }
}

/** A working directory that the sandbox does not have would end in words of bubblewrap's. */
function requireVisible(cwd: string, workspace: string, view: SandboxView): void {
  if (liesIn(cwd, workspace) || cwd === "/" || cwd === "/tmp") {
    if (isDirectory(cwd)) return;
    throw new JobFault(`the working directory ${JSON.stringify(cwd)} does not exist`, 126);
  }
  const shown = [...view.system.map(({ path }) => path), ...view.readOnly, ...view.writable];
  const isShown = shown.some((folder) => liesIn(cwd, folder));
  const isHidden = view.hidden.some(({ path }) => liesIn(cwd, path));
  if (!isShown || isHidden) {
    throw new JobFault(
      `isolated jobs do not see the working directory ${JSON.stringify(cwd)}; the agent's --bind or --bind-ro shows it`,
      126,
    );
  }
  if (!isDirectory(cwd)) {
    throw new JobFault(`the working directory ${JSON.stringify(cwd)} does not exist`, 126);
  }
}

/** The job can reach what bubblewrap has as its standard input, so it is not the machine's own file either. */
function nullDevice(view: SandboxView): string {
  return view.devices.find(({ path }) => path === "/dev/null")?.source ?? "/dev/null";
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

const SIGNAL_NAMES = new Map<number, string>(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
);

function signalName(number: number): string | null {
  return SIGNAL_NAMES.get(number) ?? null;
}
