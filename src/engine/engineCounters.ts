/** What an engine counts while it runs: of its commits and claims for the figures, of its jobs for the rates. */
import { isFinal } from "../domain/stateMachine.ts";
import type { Commit } from "./committer.ts";
import type { EngineEvent, EngineFigures, EngineSettings, Stats } from "./engine.ts";
import { HistogramCounter, SECONDS_BOUNDS, SIZE_BOUNDS, WAIT_BOUNDS } from "./histogram.ts";
import { NameCounts } from "./nameCounts.ts";
import { RateCounter } from "./rates.ts";

/** The figures that are counted; the others are looked up when somebody asks. */
export type CountedFigures = Omit<EngineFigures, "queuedCommands" | "queuedBytes" | "storeBytes">;

export class EngineCounters {
  readonly #commitSize = new HistogramCounter(SIZE_BOUNDS);
  readonly #commitSeconds = new HistogramCounter(SECONDS_BOUNDS);
  readonly #claimSeconds = new HistogramCounter(SECONDS_BOUNDS);
  readonly #waitSeconds = new HistogramCounter(WAIT_BOUNDS);
  readonly #names: NameCounts;
  readonly #rates: Readonly<Record<keyof Stats["rates"], RateCounter>>;
  #leasesLost = 0;
  #mostEnded = 0;

  /** @param now milliseconds since 1970 */
  constructor({ countedByName }: Pick<EngineSettings, "countedByName">, now: number) {
    this.#names = new NameCounts(countedByName);
    this.#rates = {
      submitted: new RateCounter(now),
      started: new RateCounter(now),
      finished: new RateCounter(now),
    };
  }

  committed(commit: Commit, now: number): void {
    this.#commitSize.add(commit.commands);
    this.#commitSeconds.add(commit.durationMs / 1_000);
    this.#leasesLost += commit.counts.leasesLost;
    for (const waitMs of commit.counts.waitMs) this.#waitSeconds.add(waitMs / 1_000);
    for (const event of commit.nameEvents) this.#names.add(event);
    for (const { dialect, waitMs } of commit.counts.firstWaits) this.#names.waited(dialect, waitMs);
    this.#countJobs(commit.events, now);
  }

  /** @param seconds from the claim's coming to its answer */
  claimed(seconds: number): void {
    this.#claimSeconds.add(seconds);
  }

  /** Most jobs that ended in one commit since this was asked for last. */
  takeMostEnded(): number {
    const most = this.#mostEnded;
    this.#mostEnded = 0;
    return most;
  }

  figures(): CountedFigures {
    return {
      ...this.#names.read(),
      commitSize: this.#commitSize.read(),
      commitSeconds: this.#commitSeconds.read(),
      claimSeconds: this.#claimSeconds.read(),
      waitSeconds: this.#waitSeconds.read(),
      leasesLost: this.#leasesLost,
    };
  }

  rates(now: number): Stats["rates"] {
    const { submitted, started, finished } = this.#rates;
    return { submitted: submitted.read(now), started: started.read(now), finished: finished.read(now) };
  }

  #countJobs(events: readonly EngineEvent[], now: number): void {
    const counts = { submitted: 0, started: 0, finished: 0 };
    let ended = 0;
    for (const event of events) {
      if (event.type !== "job") continue;
      if (event.from === null) counts.submitted++;
      else if (event.to === "leased") counts.started++;
      else if (event.to === "succeeded" || event.to === "failed") counts.finished++;
      if (event.to !== null && isFinal(event.to)) ended++;
    }
    this.#mostEnded = Math.max(this.#mostEnded, ended);
    if (counts.submitted > 0) this.#rates.submitted.add(now, counts.submitted);
    if (counts.started > 0) this.#rates.started.add(now, counts.started);
    if (counts.finished > 0) this.#rates.finished.add(now, counts.finished);
  }
}
