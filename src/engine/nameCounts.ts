/**
 * Counts by the names of jobs, for APIs whose dashboards want them: what was submitted, how it ended and by
 * whom, how long it waited and ran. Names and workers come from users, so there is a bound on how many are
 * kept apart.
 */
import type { DialectName } from "../domain/job.ts";
import type { EngineFigures, NameCount } from "./engine.ts";
import { HistogramCounter, RUN_BOUNDS, WAIT_BOUNDS } from "./histogram.ts";

/** Names, and workers, of one API that are kept apart; what comes later is counted as `other`. */
const MAX_NAMES = 200;
const MAX_WORKERS = 500;
const OTHER = "other";

/** Something that a commit did to a job. */
export interface NameEvent extends Omit<NameCount, "count"> {
  /** From start to end. */
  readonly runMs?: number;
}

interface OfDialect {
  readonly names: Set<string>;
  readonly workers: Set<string>;
  readonly wait: HistogramCounter;
  readonly run: HistogramCounter;
}

export class NameCounts {
  readonly #dialects = new Map<DialectName, OfDialect>();
  readonly #counts = new Map<string, NameCount>();

  constructor(dialects: readonly DialectName[]) {
    for (const dialect of dialects) {
      this.#dialects.set(dialect, {
        names: new Set(),
        workers: new Set(),
        wait: new HistogramCounter(WAIT_BOUNDS),
        run: new HistogramCounter(RUN_BOUNDS),
      });
    }
  }

  add({ runMs, ...event }: NameEvent): void {
    const known = this.#dialects.get(event.dialect);
    if (known === undefined) return;
    if (runMs !== undefined) known.run.add(runMs / 1_000);
    const name = bounded(known.names, event.name, MAX_NAMES);
    const workerId = event.workerId === null ? null : bounded(known.workers, event.workerId, MAX_WORKERS);
    const key = JSON.stringify([event.dialect, name, event.queue, workerId, event.event]);
    const count = this.#counts.get(key)?.count ?? 0;
    this.#counts.set(key, { ...event, name, workerId, count: count + 1 });
  }

  /** A job was claimed for the first time, so long after its submission. */
  waited(dialect: DialectName, waitMs: number): void {
    this.#dialects.get(dialect)?.wait.add(waitMs / 1_000);
  }

  read(): Pick<EngineFigures, "byName" | "times"> {
    return {
      byName: [...this.#counts.values()],
      times: [...this.#dialects].map(([dialect, { wait, run }]) => ({
        dialect,
        waitSeconds: wait.read(),
        runSeconds: run.read(),
      })),
    };
  }
}

function bounded(known: Set<string>, value: string, max: number): string {
  if (known.has(value)) return value;
  if (known.size >= max) return OTHER;
  known.add(value);
  return value;
}
