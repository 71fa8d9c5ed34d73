/** The settings of a worker, checked. */
import type { Formatter } from "./formatter.ts";
import type { Project } from "./project.ts";

export interface ClientOptions {
  /** Who the worker belongs to. */
  entity: string;
  name: string;
  description?: string | undefined;
  /** Where its jobs come from. */
  project: Project;
  /** Turns jobs into commands and runs them. */
  formatter: Formatter;
  /** CPUs for jobs; 0, the default, does not look at what jobs need. */
  availableCpu?: number | undefined;
  /** Accelerators for jobs; 0, the default, does not look at what jobs need. */
  availableAccelerators?: number | undefined;
  /** Jobs at once; default 1. */
  slots?: number | undefined;
  /**
   * Identity on the server: 1 to 128 letters, digits, `_` and `-`. Default: made of entity, name and a random part, so
   * that two workers of one name are two. A fixed one must belong to one running worker only.
   */
  id?: string | undefined;
  /** Pause between two signs of life while `work` goes on; default 30,000. */
  heartbeatIntervalMs?: number | undefined;
  /** How long to try to tell the server that a job runs, before it is left to others; default 60,000. */
  startTimeoutMs?: number | undefined;
  /** How long to try to deliver a job's outcome while the server is away; default 600,000. */
  outcomeTimeoutMs?: number | undefined;
  /** Gets a line for what goes wrong without ending `work`; default writes to stderr. */
  log?: ((line: string) => void) | undefined;
}

export type CheckedClientOptions = { [K in keyof ClientOptions]-?: Exclude<ClientOptions[K], undefined> };

/** @throws {TypeError | RangeError} naming the option that is wrong, and what is allowed */
export function checkClientOptions(options: ClientOptions): CheckedClientOptions {
  const { entity, name, project, formatter } = options;
  for (const [key, value] of Object.entries({ entity, name })) {
    if (typeof value !== "string" || value === "") {
      throw new TypeError(`Client: ${key} must be a text, not empty`);
    }
  }
  const id = options.id ?? madeId(entity, name);
  if (!/^[\w-]{1,128}$/.test(id)) {
    throw new RangeError(`Client: id must be 1 to 128 letters, digits, "_" and "-", got "${id}"`);
  }
  return {
    entity,
    name,
    project,
    formatter,
    id,
    description: options.description ?? "",
    availableCpu: atLeast(0, "availableCpu", options.availableCpu ?? 0),
    availableAccelerators: atLeast(0, "availableAccelerators", options.availableAccelerators ?? 0),
    slots: atLeast(1, "slots", options.slots ?? 1),
    heartbeatIntervalMs: atLeast(1, "heartbeatIntervalMs", options.heartbeatIntervalMs ?? 30_000),
    startTimeoutMs: atLeast(0, "startTimeoutMs", options.startTimeoutMs ?? 60_000),
    outcomeTimeoutMs: atLeast(0, "outcomeTimeoutMs", options.outcomeTimeoutMs ?? 600_000),
    log: options.log ?? ((line) => console.error(line)),
  };
}

/** @throws {RangeError} when `value` is no whole number from `least` */
export function atLeast(least: number, name: string, value: number): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw new RangeError(`Client: ${name} must be a whole number from ${least}, got ${value}`);
}

function madeId(entity: string, name: string): string {
  const readable = `${entity}-${name}`.replaceAll(/[^A-Za-z0-9_-]+/g, "-").slice(0, 100);
  const random = crypto.getRandomValues(new Uint8Array(6));
  return `${readable}-${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
