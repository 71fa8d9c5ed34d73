/** Counts and times of this API's calls, by the pattern of their route and never by a path itself. */
import type { Histogram } from "../../engine/engine.ts";
import { HistogramCounter, SECONDS_BOUNDS } from "../../engine/histogram.ts";
import type { AnsweredRequest } from "../dialect.ts";

const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const UNMATCHED = "unmatched";

/** One route under one method. */
interface Calls {
  readonly method: string;
  readonly endpoint: string;
  readonly byStatus: Map<number, number>;
  readonly seconds: HistogramCounter;
}

export class ApiTimes {
  readonly #calls = new Map<string, Calls>();

  /** To be told of every answer. */
  readonly observe = ({ method, pattern, status, seconds }: AnsweredRequest): void => {
    // Whoever calls chooses the method: only those there are get a label.
    const known = METHODS.includes(method) ? method : "other";
    const endpoint = pattern ?? UNMATCHED;
    const key = `${known} ${endpoint}`;
    let calls = this.#calls.get(key);
    if (calls === undefined) {
      const counter = new HistogramCounter(SECONDS_BOUNDS);
      calls = { method: known, endpoint, byStatus: new Map(), seconds: counter };
      this.#calls.set(key, calls);
    }
    calls.byStatus.set(status, (calls.byStatus.get(status) ?? 0) + 1);
    calls.seconds.add(seconds);
  };

  /** Everything counted so far. */
  read(): readonly {
    readonly method: string;
    readonly endpoint: string;
    readonly byStatus: ReadonlyMap<number, number>;
    readonly seconds: Histogram;
  }[] {
    return [...this.#calls.values()].map((calls) => ({ ...calls, seconds: calls.seconds.read() }));
  }
}
