/**
 * A program that prepares a job, such as an installer: confined as the job itself, its output in the job's log, ended
 * with the job.
 */
import { resolve } from "node:path";
import type { ClaimedJob } from "@yardmaster/client";
import type { LogStream } from "../domain/job.ts";
import { jobEnvironment } from "./environment.ts";
import type { RunServices } from "./jobRun.ts";
import type { Launch } from "./runner.ts";
import { type EndReason, type ProcessEnd, SupervisedProcess } from "./supervisedProcess.ts";

export interface StepOptions {
  /** The one folder that the program may write. */
  readonly folder: string;
  /** Ended after this long; absent is as long as the job's own preparation may take. */
  readonly timeoutMs?: number;
  /** Its output is not for the job's log. */
  readonly isSilent?: true;
  readonly onOutput?: (stream: LogStream, bytes: Uint8Array) => void;
}

export interface StepRun {
  readonly job: ClaimedJob;
  readonly services: RunServices;
  readonly signal: AbortSignal;
  /** Number of the step among those of the job, from 1. */
  readonly number: number;
  /** Why the job ends, once `signal` is aborted. */
  readonly endReason: () => EndReason | null;
  readonly toLog: (stream: LogStream, bytes: Uint8Array) => void;
}

/**
 * Runs the program to its end.
 *
 * @throws JobFault when it cannot be started, MachineBusyError when the machine is short of something, the signal's
 *   reason when the job was ended; nothing of the program runs any more then
 */
export function runStep(launch: Launch, options: StepOptions, run: StepRun): Promise<ProcessEnd> {
  const { job, services, signal, number } = run;
  signal.throwIfAborted();
  const workspace = options.folder;
  const env = jobEnvironment(services.baseEnvironment, job, launch.env, workspace, []);
  const confinement = services.isolation.confine({
    ...{ job, launch, workspace, env, step: number },
    hasAccelerators: false,
  });
  const { promise, resolve: onEnd } = Promise.withResolvers<ProcessEnd>();
  let child: SupervisedProcess;
  try {
    child = new SupervisedProcess({
      argv: confinement?.argv ?? launch.argv,
      env: confinement?.env ?? env,
      cwd: confinement?.cwd ?? resolve(workspace, launch.cwd),
      timeoutMs: options.timeoutMs ?? null,
      graceMs: services.graceMs,
      outputDrainMs: services.outputDrainMs,
      confinement,
      onOutput: (stream, bytes) => {
        if (!options.isSilent) run.toLog(stream, bytes);
        options.onOutput?.(stream, bytes);
      },
      onExit: () => {},
      onEnd,
    });
  } catch (error) {
    confinement?.release();
    throw error;
  }
  const onAbort = (): void => child.end(run.endReason() ?? "cancelled");
  signal.addEventListener("abort", onAbort, { once: true });
  return promise.then((end) => {
    signal.removeEventListener("abort", onAbort);
    signal.throwIfAborted();
    return end;
  });
}
