/**
 * The environment of a job: little of the agent's own, then the job's, then what says where it runs.
 *
 * Of the agent's environment only PATH, HOME, USER and LANG pass; so no key that the agent was started with
 * is visible to a job. `CUDA_VISIBLE_DEVICES` is always set and cannot be overridden: it is empty for a job
 * that was given no accelerator, so that no job uses one that it did not ask for.
 */
import type { ClaimedJob } from "@yardmaster/client";
import { RUN_MARKER } from "./identity.ts";

const PASSED_ON = ["PATH", "HOME", "USER", "LANG"] as const;
const USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What is the same for all jobs of a run. */
export function baseEnvironment(
  own: Readonly<Record<string, string | undefined>>,
  serverUrl: string,
  mark: string,
): Record<string, string> {
  const base: Record<string, string> = { PATH: USUAL_PATH };
  for (const name of PASSED_ON) {
    const value = own[name];
    if (value !== undefined) base[name] = value;
  }
  base.YARDMASTER_SERVER = withoutCredentials(serverUrl);
  base[RUN_MARKER] = mark;
  return base;
}

/** The environment of one job. */
export function jobEnvironment(
  base: Readonly<Record<string, string>>,
  job: Pick<ClaimedJob, "id" | "key" | "attempt">,
  jobsOwn: Readonly<Record<string, string>>,
  workspace: string,
  accelerators: readonly number[],
): Record<string, string> {
  return {
    ...base,
    TMPDIR: workspace,
    ...jobsOwn,
    YARDMASTER_SERVER: base.YARDMASTER_SERVER ?? "",
    [RUN_MARKER]: base[RUN_MARKER] ?? "",
    YARDMASTER_JOB_ID: String(job.id),
    YARDMASTER_JOB_KEY: job.key,
    YARDMASTER_ATTEMPT: String(job.attempt),
    CUDA_VISIBLE_DEVICES: accelerators.join(","),
  };
}

/**
 * The environment of a job that gets its own variables alone: with a PATH, and the accelerators that it was given.
 */
export function exactEnvironment(
  jobsOwn: Readonly<Record<string, string>>,
  accelerators: readonly number[],
): Record<string, string> {
  const given = accelerators.length === 0 ? {} : { CUDA_VISIBLE_DEVICES: accelerators.join(",") };
  return { PATH: USUAL_PATH, ...jobsOwn, ...given };
}

function withoutCredentials(address: string): string {
  if (!URL.canParse(address)) return "";
  const url = new URL(address);
  url.username = "";
  url.password = "";
  return url.toString().replace(/\/+$/, "");
}
