/** What an agent can be told about isolating its jobs, with every default in one place. */
import { existsSync, realpathSync } from "node:fs";
import { isAbsolute } from "node:path";
import { JOB_KINDS, type JobKind } from "../../domain/job.ts";

/**
 * `off` isolates nothing; `auto` isolates the kinds chosen where the machine can; with `required` an agent on a
 * machine that cannot does not start.
 */
export const ISOLATION_MODES = ["auto", "required", "off"] as const;
export type IsolationMode = (typeof ISOLATION_MODES)[number];

/** Whether isolated jobs reach the network, or only themselves; with `install` installers alone do, before their job starts. */
export const JOB_NETWORKS = ["deny", "install", "allow"] as const;
export type JobNetwork = (typeof JOB_NETWORKS)[number];

/** Part of the agent's options. */
export interface IsolationOptions {
  /** Default `auto`. */
  isolation?: IsolationMode | undefined;
  /**
   * Kinds of job to isolate. Default: with `auto` those whose programs come from elsewhere, `binary` and `script`; a
   * `command` names a program of the machine and as a rule needs its files. With `required` every kind.
   */
  isolateKinds?: readonly JobKind[] | undefined;
  /** Network of isolated jobs; default `deny`, with `auto` `install`: else most scripts with requirements would fail. */
  jobNetwork?: JobNetwork | undefined;
  /** Absolute paths that isolated jobs may read besides the system. */
  bindReadOnly?: readonly string[] | undefined;
  /** Absolute paths that isolated jobs may read and write. */
  bind?: readonly string[] | undefined;
  /** Absolute paths that no isolated job sees, wherever they lie: folders and files with secrets. */
  hide?: readonly string[] | undefined;
  /** Memory of one job at most, whatever it asks for; default null, what it asks for alone. */
  jobMaxMemoryMb?: number | null | undefined;
  /** Processes and threads of one job at most; default null: 4,096 of an isolated job, no limit of others. */
  jobMaxProcesses?: number | null | undefined;
  /** CPU time of one job at most; default null, no limit. */
  jobMaxCpuSeconds?: number | null | undefined;
}

/** The options in force. */
export interface IsolationSettings {
  readonly mode: IsolationMode;
  readonly kinds: readonly JobKind[];
  readonly network: JobNetwork;
  readonly bindReadOnly: readonly string[];
  readonly bind: readonly string[];
  readonly hide: readonly string[];
  readonly maxMemoryMb: number | null;
  readonly maxProcesses: number | null;
  readonly maxCpuSeconds: number | null;
}

/** What `auto` isolates: programs that come from elsewhere. */
const FOREIGN_KINDS: readonly JobKind[] = ["binary", "script"];

/**
 * Fills in the defaults.
 *
 * @throws RangeError naming the option that is out of range.
 */
export function isolationSettings(options: IsolationOptions): IsolationSettings {
  const mode = options.isolation ?? "auto";
  const atLeastOne = (name: string, value: number | null | undefined): number | null => {
    if (value === undefined || value === null) return null;
    if (Number.isInteger(value) && value >= 1) return value;
    throw new RangeError(`${name} must be a whole number of at least 1, not ${value}`);
  };
  return {
    mode,
    kinds: mode === "off" ? [] : (options.isolateKinds ?? (mode === "required" ? JOB_KINDS : FOREIGN_KINDS)),
    network: options.jobNetwork ?? (mode === "required" ? "deny" : "install"),
    bindReadOnly: existing("bindReadOnly", options.bindReadOnly ?? []),
    bind: existing("bind", options.bind ?? []),
    hide: options.hide ?? [],
    maxMemoryMb: atLeastOne("jobMaxMemoryMb", options.jobMaxMemoryMb),
    maxProcesses: atLeastOne("jobMaxProcesses", options.jobMaxProcesses),
    maxCpuSeconds: atLeastOne("jobMaxCpuSeconds", options.jobMaxCpuSeconds),
  };
}

/** A path that is not there would fail every job; so it fails the start. Links are followed once, here. */
function existing(name: string, paths: readonly string[]): readonly string[] {
  return paths.map((path) => {
    if (!isAbsolute(path)) throw new RangeError(`${name}: ${path} must be an absolute path`);
    if (!existsSync(path)) throw new RangeError(`${name}: ${path} does not exist`);
    return realpathSync(path);
  });
}
