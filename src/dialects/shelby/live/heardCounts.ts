/**
 * Finds out that news of jobs did not arrive, for instance from a server that was killed between a commit and telling
 * of it: holds the numbers of jobs by state that the store counts against the changes of state that were heard.
 *
 * What is counted, less what was heard to change, is the same number at all times, as long as nothing is missed. When
 * the counters are read it is not known which changes are in them already, so each reading gives a span for that
 * number, and spans that have nothing in common tell that something is missing.
 */
import { JOB_STATES, type JobState } from "../../../domain/job.ts";
import type { EngineEvent, JobTally } from "../../../engine/engine.ts";

interface Span {
  readonly low: number;
  readonly high: number;
}
type Spans = ReadonlyMap<JobState, Span>;

/** Readings in a row that must not fit: news of one commit may be slow. */
const MISFITS = 3;

export class HeardCounts {
  /** How many more jobs of each state there are than in the beginning, as was heard. */
  readonly #heard = new Map<JobState, number>();
  /** Lowest and highest of that since the reading under way began. */
  #reading: Map<JobState, Span> | null = null;
  #base: Spans | null = null;
  #misfits = 0;

  /** Takes note of a job that changed. */
  hear({ from, to }: Extract<EngineEvent, { type: "job" }>): void {
    if (from !== null) this.#heard.set(from, this.#heardOf(from) - 1);
    if (to !== null) this.#heard.set(to, this.#heardOf(to) + 1);
    if (this.#reading === null) return;
    for (const state of [from, to]) if (state !== null) this.#widen(this.#reading, state);
  }

  #heardOf(state: JobState): number {
    return this.#heard.get(state) ?? 0;
  }

  #widen(reading: Map<JobState, Span>, state: JobState): void {
    const at = this.#heardOf(state);
    const { low, high } = reading.get(state) ?? { low: at, high: at };
    reading.set(state, { low: Math.min(low, at), high: Math.max(high, at) });
  }

  /** To be called before the counters are read. */
  beginReading(): void {
    this.#reading = new Map();
    for (const state of JOB_STATES) this.#widen(this.#reading, state);
  }

  /**
   * To be called when everything must have been heard that was counted.
   *
   * @returns `missed` when it is sure that something was not heard, `unsure` when another reading will tell
   */
  endReading(tallies: readonly JobTally[]): "fits" | "unsure" | "missed" {
    const base = this.#takeReading(tallies);
    const common = this.#base === null ? base : inCommon(this.#base, base);
    if (common !== null) {
      this.#base = common;
      this.#misfits = 0;
      return "fits";
    }
    this.#misfits++;
    if (this.#misfits < MISFITS) return "unsure";
    this.#base = base;
    this.#misfits = 0;
    return "missed";
  }

  #takeReading(tallies: readonly JobTally[]): Spans {
    const base = new Map<JobState, Span>();
    for (const state of JOB_STATES) {
      let counted = 0;
      for (const tally of tallies) if (tally.state === state) counted += tally.count;
      const at = this.#heardOf(state);
      const { low, high } = this.#reading?.get(state) ?? { low: at, high: at };
      base.set(state, { low: counted - high, high: counted - low });
    }
    this.#reading = null;
    return base;
  }

  /** Forgets what was counted: it is known that something was missed, or nobody asks any more. */
  forget(): void {
    this.#heard.clear();
    this.#reading = null;
    this.#base = null;
    this.#misfits = 0;
  }
}

/** What two have in common; null where that is nothing for some state. */
function inCommon(one: Spans, other: Spans): Spans | null {
  const common = new Map<JobState, Span>();
  for (const [state, { low, high }] of one) {
    const second = other.get(state) ?? { low, high };
    const both = { low: Math.max(low, second.low), high: Math.min(high, second.high) };
    if (both.low > both.high) return null;
    common.set(state, both);
  }
  return common;
}
