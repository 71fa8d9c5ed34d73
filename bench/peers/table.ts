/** The figures as a table: a row a line of measurement, a column a system, Yardmaster's ratio to the best peer beside. */
import CliTable from "cli-table3";
import { LINES, type Measured, type Profile } from "./measureSystem.ts";

export interface SystemFigures {
  readonly name: string;
  readonly title: string;
  readonly isOurs: boolean;
  readonly figures: Measured;
  readonly profile: Profile;
}

/** Two tables: the figures, and where the processor time of a job went. */
export function tableOf(systems: readonly SystemFigures[]): string {
  const style = { head: [], border: [] };
  // One part of a name a line: seven columns side by side.
  const heads = systems.map(({ title }) => title.replaceAll(", ", "\n"));
  const figures = new CliTable({ head: ["", ...heads], style });
  for (const line of LINES) {
    const values = systems.map((system) => system.figures[line.name]);
    const best = bestPeer(systems, line.name, line.isRate);
    figures.push([
      `${line.title}, ${line.unit}`,
      ...systems.map((system, index) => cell(values[index], system.isOurs ? best : null, line.isRate)),
    ]);
  }
  const times = new CliTable({ head: ["processor time, µs a job", ...heads], style });
  for (const line of LINES) {
    if (!systems.some((system) => system.profile[line.name] !== undefined)) continue;
    times.push([line.title, ...systems.map((system) => timesCell(system, line.name))]);
  }
  return `${figures.toString()}\n(× how many times as good as the best of the others)\n${times.toString()}\n(programs | threads of the servers | store)`;
}

function bestPeer(systems: readonly SystemFigures[], line: keyof Measured, isRate: boolean): number | null {
  const values = systems.flatMap(({ isOurs, figures }) => {
    const value = figures[line];
    return isOurs || value === undefined ? [] : [value];
  });
  if (values.length === 0) return null;
  return isRate ? Math.max(...values) : Math.min(...values);
}

function cell(value: number | undefined, best: number | null, isRate: boolean): string {
  if (value === undefined) return "";
  const text = isRate ? Math.round(value).toLocaleString("en-GB") : value.toFixed(2);
  if (best === null) return text;
  return `${text}\n${(isRate ? value / best : best / value).toFixed(2)} ×`;
}

function timesCell(system: SystemFigures, line: keyof Profile): string {
  const times = system.profile[line];
  if (times === undefined) return "";
  const { programs, serverThreads, store } = times;
  const threads = serverThreads.length === 0 ? [] : [serverThreads.join(" + ")];
  return [programs, ...threads, ...(store === null ? [] : [store])].join(" | ");
}
