/** Everything an agent can be told, with every default in one place. */
import { cpus, hostname, totalmem } from "node:os";
import { join } from "node:path";
import type { YardmasterClient } from "@yardmaster/client";
import type { JobKind } from "../domain/job.ts";
import type { Resources } from "../domain/resources.ts";
import { type AgentLog, defaultAgentLog } from "./agentLog.ts";
import { type BinaryOptions, type BinarySettings, binarySettings } from "./binaries/binaryOptions.ts";
import {
  type IsolationOptions,
  type IsolationSettings,
  isolationSettings,
} from "./isolation/isolationOptions.ts";
import {
  hasPython,
  type ScriptOptions,
  type ScriptSettings,
  scriptSettings,
} from "./scripts/scriptOptions.ts";

export interface AgentOptions extends IsolationOptions, BinaryOptions, ScriptOptions {
  /** Address of the server; default `http://127.0.0.1:8000`. */
  serverUrl?: string | undefined;
  /** Sent to the server; never visible to a job. */
  apiKey?: string | undefined;
  /** Default: made once and kept in `stateDir`, so that a restarted agent is the same worker. */
  workerId?: string | undefined;
  /** Shown to people; default is the host's name. */
  name?: string | undefined;
  /** Queues served; default `["*"]`, all. */
  queues?: readonly string[] | undefined;
  /** Kinds served; default all that there is a runner for, `script` only where there is a Python. */
  kinds?: readonly JobKind[] | undefined;
  /** CPU slots; default the machine's cores. */
  cpu?: number | undefined;
  /** Accelerators, handed out by index from 0; default 0. */
  accelerators?: number | undefined;
  /** Memory to hand out; default the machine's. */
  memoryMb?: number | undefined;
  /** Labels that jobs may require. */
  labels?: Readonly<Record<string, string>> | undefined;
  /** Journal, workspaces and unsent output; default `yardmaster-data/agent` in the working directory. */
  stateDir?: string | undefined;
  /** Jobs running at one time, whatever they need; default 256. */
  maxJobs?: number | undefined;
  /** Length of a claim's wait when the agent is idle; default 30,000. */
  waitMs?: number | undefined;
  /** The same while some jobs run: a larger job waits at most this long for room just freed; default 1,000. */
  busyWaitMs?: number | undefined;
  /** Pause between renewals, which also bring word of cancellations; default 2,000, never more than a third of the lease. */
  renewEveryMs?: number | undefined;
  /** From SIGTERM to SIGKILL; default 5,000. */
  graceMs?: number | undefined;
  /** How long a draining agent lets jobs run before it stops them; default null, for ever. */
  drainTimeoutMs?: number | null | undefined;
  /** How long the end waits for results and output to reach the server; what is left stays on disk. Default 10,000. */
  flushTimeoutMs?: number | undefined;
  /** How long output is read on after a job's process ended, where something else holds its pipes open; default 1,000. */
  outputDrainMs?: number | undefined;
  /** Output kept of one job; default 64 MiB. */
  maxLogBytes?: number | undefined;
  /** Part of `maxLogBytes` that is kept for the end of the output; default 1 MiB. */
  logTailBytes?: number | undefined;
  /** Least time between two requests with output, in which more gathers; default 10. */
  logFlushMs?: number | undefined;
  /** Output of all jobs held in memory; what is over goes to disk. Default 4 MiB. */
  maxBufferedLogBytes?: number | undefined;
  /** Unsent output on disk; over it jobs keep only the tail of their output. Default 1 GiB. */
  maxSpoolBytes?: number | undefined;
  /** How far ahead of free slots jobs are claimed, in time; default 50, 0 turns it off. */
  prefetchMs?: number | undefined;
  /** A job claimed ahead that has not started after this long is given back; default 1,000. */
  prefetchMaxAgeMs?: number | undefined;
  /** Longest pause between two tries to reach a server that is away; default 3,000. */
  maxRetryPauseMs?: number | undefined;
  /** How often it tells how busy its machine is; default 15,000. */
  loadEveryMs?: number | undefined;
  /** Disk space that the workspace of one job may take, in MiB; a job that takes more is ended. Default null, no limit. */
  workspaceLimitMb?: number | null | undefined;
  /** Where the agent's own log goes; default standard error, as JSON lines. */
  log?: AgentLog | undefined;
  /** Used instead of a client made from `serverUrl` and `apiKey`. */
  client?: YardmasterClient | undefined;
}

/** The options in force. */
export interface AgentSettings {
  readonly serverUrl: string;
  readonly apiKey: string | undefined;
  readonly workerId: string | undefined;
  readonly name: string;
  readonly queues: readonly string[];
  readonly kinds: readonly JobKind[];
  readonly capacity: Resources;
  readonly labels: Readonly<Record<string, string>>;
  readonly stateDir: string;
  readonly maxJobs: number;
  readonly waitMs: number;
  readonly busyWaitMs: number;
  readonly renewEveryMs: number;
  readonly graceMs: number;
  readonly drainTimeoutMs: number | null;
  readonly flushTimeoutMs: number;
  readonly outputDrainMs: number;
  readonly maxLogBytes: number;
  readonly logTailBytes: number;
  readonly logFlushMs: number;
  readonly maxBufferedLogBytes: number;
  readonly maxSpoolBytes: number;
  readonly prefetchMs: number;
  readonly prefetchMaxAgeMs: number;
  readonly maxRetryPauseMs: number;
  readonly loadEveryMs: number;
  readonly workspaceLimitMb: number | null;
  readonly isolation: IsolationSettings;
  readonly binaries: BinarySettings;
  readonly scripts: ScriptSettings;
  readonly log: AgentLog;
}

const MIB = 1024 * 1024;

/**
 * Fills in the defaults.
 *
 * @throws RangeError naming the option that is out of range.
 */
export function agentSettings(options: AgentOptions, kinds: readonly JobKind[]): AgentSettings {
  const scripts = scriptSettings(options);
  const settings: AgentSettings = {
    serverUrl: options.serverUrl ?? "http://127.0.0.1:8000",
    apiKey: options.apiKey,
    workerId: options.workerId,
    name: options.name ?? hostname(),
    queues: options.queues ?? ["*"],
    kinds: options.kinds ?? kinds.filter((kind) => kind !== "script" || hasPython(scripts)),
    capacity: {
      cpu: options.cpu ?? cpus().length,
      accelerators: options.accelerators ?? 0,
      memoryMb: options.memoryMb ?? Math.floor(totalmem() / MIB),
    },
    labels: options.labels ?? {},
    stateDir: options.stateDir ?? join(process.cwd(), "yardmaster-data", "agent"),
    maxJobs: options.maxJobs ?? 256,
    waitMs: options.waitMs ?? 30_000,
    busyWaitMs: options.busyWaitMs ?? 1_000,
    renewEveryMs: options.renewEveryMs ?? 2_000,
    graceMs: options.graceMs ?? 5_000,
    drainTimeoutMs: options.drainTimeoutMs ?? null,
    flushTimeoutMs: options.flushTimeoutMs ?? 10_000,
    outputDrainMs: options.outputDrainMs ?? 1_000,
    maxLogBytes: options.maxLogBytes ?? 64 * MIB,
    logTailBytes: options.logTailBytes ?? Math.min(MIB, Math.floor((options.maxLogBytes ?? 64 * MIB) / 4)),
    logFlushMs: options.logFlushMs ?? 10,
    maxBufferedLogBytes: options.maxBufferedLogBytes ?? 4 * MIB,
    maxSpoolBytes: options.maxSpoolBytes ?? 1024 * MIB,
    prefetchMs: options.prefetchMs ?? 50,
    prefetchMaxAgeMs: options.prefetchMaxAgeMs ?? 1_000,
    maxRetryPauseMs: options.maxRetryPauseMs ?? 3_000,
    loadEveryMs: options.loadEveryMs ?? 15_000,
    workspaceLimitMb: options.workspaceLimitMb ?? null,
    isolation: isolationSettings(options),
    binaries: binarySettings(options),
    scripts,
    log: options.log ?? defaultAgentLog(),
  };
  check(settings, kinds);
  return settings;
}

function check(settings: AgentSettings, runnable: readonly JobKind[]): void {
  const whole = (name: string, value: number, least: number) => {
    if (!Number.isInteger(value) || value < least) {
      throw new RangeError(`${name} must be a whole number of at least ${least}, not ${value}`);
    }
  };
  whole("cpu", settings.capacity.cpu, 0);
  whole("accelerators", settings.capacity.accelerators, 0);
  whole("memoryMb", settings.capacity.memoryMb, 0);
  whole("maxJobs", settings.maxJobs, 1);
  whole("maxLogBytes", settings.maxLogBytes, 1);
  if (settings.workspaceLimitMb !== null) whole("workspaceLimitMb", settings.workspaceLimitMb, 1);
  whole("logTailBytes", settings.logTailBytes, 0);
  for (const name of [
    "waitMs",
    "busyWaitMs",
    "graceMs",
    "outputDrainMs",
    "logFlushMs",
    "prefetchMs",
  ] as const) {
    whole(name, settings[name], 0);
  }
  whole("renewEveryMs", settings.renewEveryMs, 1);
  whole("loadEveryMs", settings.loadEveryMs, 1);
  if (settings.logTailBytes > settings.maxLogBytes) {
    throw new RangeError("logTailBytes must not be more than maxLogBytes");
  }
  if (settings.queues.length === 0) throw new RangeError("queues must name at least one queue");
  const unknown = settings.kinds.filter((kind) => !runnable.includes(kind));
  if (settings.kinds.length === 0 || unknown.length > 0) {
    throw new RangeError(`kinds must be some of ${runnable.join(", ")}, not ${unknown.join(", ") || "none"}`);
  }
}
