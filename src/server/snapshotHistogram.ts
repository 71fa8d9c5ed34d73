/** A Prometheus histogram whose counts were taken elsewhere: the engine and the routes count by themselves. */
import {
  type MetricObjectWithValues,
  type MetricValueWithName,
  Histogram as PrometheusHistogram,
} from "prom-client";
import type { Histogram } from "../engine/engine.ts";

/** One histogram with the labels it is shown under. */
export interface LabelledHistogram {
  readonly labels: Readonly<Record<string, string>>;
  readonly histogram: Histogram;
}

export class SnapshotHistogram extends PrometheusHistogram {
  #shown: readonly LabelledHistogram[] = [];
  readonly #title: { readonly name: string; readonly help: string };

  constructor(configuration: ConstructorParameters<typeof PrometheusHistogram>[0]) {
    super(configuration);
    this.#title = { name: configuration.name, help: configuration.help };
  }

  /** Replaces what is shown. */
  show(shown: readonly LabelledHistogram[]): void {
    this.#shown = shown;
  }

  override async get(): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const { name, help } = this.#title;
    const values = this.#shown.flatMap((shown) => valuesOf(name, shown));
    return { ...(await super.get()), name, help, values };
  }
}

function valuesOf(name: string, { labels, histogram }: LabelledHistogram): MetricValueWithName<string>[] {
  let cumulative = 0;
  const values: MetricValueWithName<string>[] = histogram.bounds.map((bound, place) => {
    cumulative += histogram.counts[place] ?? 0;
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bound }, value: cumulative };
  });
  values.push({ metricName: `${name}_bucket`, labels: { ...labels, le: "+Inf" }, value: histogram.count });
  values.push({ metricName: `${name}_sum`, labels: { ...labels }, value: histogram.sum });
  values.push({ metricName: `${name}_count`, labels: { ...labels }, value: histogram.count });
  return values;
}
