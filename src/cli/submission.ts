/** Turns the words of `yardmaster submit` into a job to submit. */
import type { JsonObject, NewJob, Resources, YardmasterClient } from "@yardmaster/client";
import { jobRef } from "./commandLine.ts";
import { DURATION_FORM, parseDuration } from "./duration.ts";
import { readOptionalFlag, readPair } from "./readFlag.ts";
import { integer } from "./settingKind.ts";
import { UsageError } from "./usageError.ts";

/** Flags that describe the job, as they were given. */
export interface SubmitFlags {
  task?: string;
  param?: readonly string[];
  name?: string;
  queue?: string;
  priority?: string;
  cpu?: string;
  accelerators?: string;
  memoryMb?: string;
  label?: readonly string[];
  require?: readonly string[];
  dependsOn?: readonly string[];
  maxAttempts?: string;
  timeout?: string;
  at?: string;
  env?: readonly string[];
  cwd?: string;
}

const COUNT = integer("n", 0, 1_000_000);
const MEMORY = integer("MiB", 0, 1_000_000_000);
const PRIORITY = integer("n", -(2 ** 31), 2 ** 31 - 1);
/** The words for priorities that executors have, as the engine's numbers. */
const PRIORITY_WORDS: ReadonlyMap<string, number> = new Map([
  ["foreground", 10],
  ["background", 0],
  ["best_effort", -10],
]);
const ATTEMPTS = integer("n", 1, 1_000);
/** Names are looked up in lists of this length; more tasks of one name than that cannot be told apart anyway. */
const LOOK_UP_LIMIT = 100;

/**
 * The job that the flags describe, without the ids of task and project.
 *
 * @throws UsageError naming the flag
 */
export function newJobOf(argv: readonly string[], flags: SubmitFlags, nowMs: number): NewJob {
  const job: NewJob = {};
  const resources: Partial<Resources> = {};
  const cpu = readOptionalFlag("--cpu", flags.cpu, COUNT);
  const accelerators = readOptionalFlag("--accelerators", flags.accelerators, COUNT);
  const memoryMb = readOptionalFlag("--memory-mb", flags.memoryMb, MEMORY);
  if (cpu !== undefined) resources.cpu = cpu;
  if (accelerators !== undefined) resources.accelerators = accelerators;
  if (memoryMb !== undefined) resources.memoryMb = memoryMb;
  if (Object.keys(resources).length > 0) job.resources = resources;

  const spec: { argv?: string[]; env?: Record<string, string>; cwd?: string } = {};
  if (argv.length > 0) spec.argv = [...argv];
  const env = environmentOf(flags);
  if (env !== undefined) spec.env = env;
  if (flags.cwd !== undefined) spec.cwd = flags.cwd;
  if (Object.keys(spec).length > 0) job.spec = spec;

  const priority = priorityOf(flags.priority);
  const maxAttempts = readOptionalFlag("--max-attempts", flags.maxAttempts, ATTEMPTS);
  if (priority !== undefined) job.priority = priority;
  if (maxAttempts !== undefined) job.maxAttempts = maxAttempts;
  if (flags.name !== undefined) job.name = flags.name;
  if (flags.queue !== undefined) job.queue = flags.queue;
  if (flags.label !== undefined) job.labels = pairs("--label", flags.label);
  if (flags.require !== undefined) job.requires = pairs("--require", flags.require);
  if (flags.dependsOn !== undefined)
    job.dependsOn = flags.dependsOn.flatMap((text) => text.split(",").map(jobRef));
  if (flags.param !== undefined) job.parameters = parametersOf(flags.param);
  if (flags.timeout !== undefined) job.timeoutMs = timeoutMsOf(flags.timeout);
  if (flags.at !== undefined) job.runAt = instantOf(flags.at, nowMs);
  return job;
}

/** The variables of `--env`. @throws UsageError for what is none */
export function environmentOf({ env }: Pick<SubmitFlags, "env">): Record<string, string> | undefined {
  return env === undefined ? undefined : pairs("--env", env);
}

function priorityOf(text: string | undefined): number | undefined {
  const word = text === undefined ? undefined : PRIORITY_WORDS.get(text);
  if (word !== undefined) return word;
  if (text !== undefined && !/^[+-]?\d/.test(text)) {
    const words = [...PRIORITY_WORDS.keys()].join(", ");
    throw new UsageError(`--priority: expected ${words} or a whole number, got ${JSON.stringify(text)}`);
  }
  return readOptionalFlag("--priority", text, PRIORITY);
}

/** Ids of task and project, which may be given by name. A name that several have is refused. */
export async function taskNamed(
  client: YardmasterClient,
  task: string | undefined,
  project: string | undefined,
): Promise<{ taskId?: number; projectId?: number }> {
  const projectId = await idOf("--project", project, (name) =>
    client.projects({ name, limit: LOOK_UP_LIMIT }),
  );
  const taskId = await idOf("--task", task, (name) =>
    client.tasks({ name, projectId, limit: LOOK_UP_LIMIT }),
  );
  return {
    ...(taskId === undefined ? {} : { taskId }),
    ...(projectId === undefined ? {} : { projectId }),
  };
}

async function idOf(
  flag: string,
  given: string | undefined,
  find: (name: string) => Promise<readonly { readonly id: number; readonly name: string }[]>,
): Promise<number | undefined> {
  if (given === undefined) return undefined;
  if (/^[1-9]\d*$/.test(given)) return Number(given);
  const found = (await find(given)).filter((item) => item.name === given);
  const [first, second] = found;
  if (first === undefined) throw new UsageError(`${flag}: nothing is named ${JSON.stringify(given)}`);
  if (second !== undefined) {
    const ids = found.map((item) => item.id).join(", ");
    throw new UsageError(`${flag}: several are named ${JSON.stringify(given)}; give one of the ids ${ids}`);
  }
  return first.id;
}

function pairs(flag: string, texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map((text) => readPair(flag, text)));
}

/** `k=v` is text, `k:=v` JSON. */
function parametersOf(texts: readonly string[]): JsonObject {
  const parameters: JsonObject = {};
  for (const text of texts) {
    const [key, value] = readPair("-p", text);
    if (!key.endsWith(":")) {
      parameters[key] = value;
      continue;
    }
    try {
      parameters[key.slice(0, -1)] = JSON.parse(value);
    } catch {
      throw new UsageError(
        `-p: ${key.slice(0, -1)}: ${JSON.stringify(value)} is no JSON; for text write ${key.slice(0, -1)}=…`,
      );
    }
  }
  return parameters;
}

function timeoutMsOf(text: string): number {
  const ms = parseDuration(text, "s");
  if (ms === null || ms < 1) {
    throw new UsageError(`--timeout: expected ${DURATION_FORM}, or seconds, got ${JSON.stringify(text)}`);
  }
  return ms;
}

function instantOf(text: string, nowMs: number): string {
  const fromNowMs = parseDuration(text, "s");
  const instantMs = fromNowMs === null ? Date.parse(text) : nowMs + fromNowMs;
  if (Number.isNaN(instantMs)) {
    throw new UsageError(
      `--at: expected a time such as 2030-01-01T02:00:00Z, or ${DURATION_FORM}, got ${JSON.stringify(text)}`,
    );
  }
  return new Date(instantMs).toISOString();
}
