/**
 * Histograms that were counted elsewhere (by the engine, by the routes) in Prometheus' text form. The
 * metrics library only writes those it counted itself.
 */
import type { Histogram } from "../engine/engine.ts";

/** One histogram with the labels it is shown under. */
export interface LabelledHistogram {
  readonly labels: Readonly<Record<string, string>>;
  readonly histogram: Histogram;
}

/** The lines of one metric, its title included; buckets become cumulative as the format wants them. */
export function histogramText(name: string, help: string, shown: readonly LabelledHistogram[]): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  for (const { labels, histogram } of shown) {
    let cumulative = 0;
    histogram.bounds.forEach((bound, place) => {
      cumulative += histogram.counts[place] ?? 0;
      lines.push(`${name}_bucket${labelText({ ...labels, le: String(bound) })} ${cumulative}`);
    });
    lines.push(`${name}_bucket${labelText({ ...labels, le: "+Inf" })} ${histogram.count}`);
    lines.push(`${name}_sum${labelText(labels)} ${histogram.sum}`);
    lines.push(`${name}_count${labelText(labels)} ${histogram.count}`);
  }
  return `${lines.join("\n")}\n`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
