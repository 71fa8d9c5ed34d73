/**
 * Measures Yardmaster on this machine, each figure beside its limit, measured in the same run.
 *
 * ```sh
 * npm run bench                          # everything, about ten minutes
 * npm run bench -- --only enqueue        # one part: enqueue, cycle, claim, running, binaries, whatsnext-calls, whatsnext-fetch,
 *                                        # executr-calls, executr-scale, shelby-logs, shelby-followers,
 *                                        # shelby-nodes, shelby-scale, shelby-sockets
 * npm run bench -- --quick --json        # does it all work? the figures mean little
 * ```
 */
import { cpus, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import CliTable from "cli-table3";
import { type Effort, type Figure, FULL_EFFORT, QUICK_EFFORT } from "./figure.ts";
import { binaries } from "./measurements/binaries.ts";
import { claimCost } from "./measurements/claimCost.ts";
import { cycle } from "./measurements/cycle.ts";
import { enqueue } from "./measurements/enqueue.ts";
import { executrCalls } from "./measurements/executrCalls.ts";
import { executrScale } from "./measurements/executrScale.ts";
import { running } from "./measurements/running.ts";
import { shelbyFollowers } from "./measurements/shelbyFollowers.ts";
import { shelbyLogs } from "./measurements/shelbyLogs.ts";
import { shelbyNodes } from "./measurements/shelbyNodes.ts";
import { shelbyScale } from "./measurements/shelbyScale.ts";
import { shelbySockets } from "./measurements/shelbySockets.ts";
import { whatsnextCalls } from "./measurements/whatsnextCalls.ts";
import { whatsnextFetch } from "./measurements/whatsnextFetch.ts";
import { Bench } from "./processes.ts";

const MEASUREMENTS: Readonly<Record<string, (bench: Bench, effort: Effort) => Promise<Figure[]>>> = {
  enqueue,
  cycle,
  claim: claimCost,
  running,
  binaries,
  "whatsnext-calls": whatsnextCalls,
  "whatsnext-fetch": whatsnextFetch,
  "executr-calls": executrCalls,
  "executr-scale": executrScale,
  "shelby-logs": shelbyLogs,
  "shelby-followers": shelbyFollowers,
  "shelby-nodes": shelbyNodes,
  "shelby-scale": shelbyScale,
  "shelby-sockets": shelbySockets,
};

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});
const unknown = flags.only.find((name) => !(name in MEASUREMENTS));
if (unknown !== undefined) {
  console.error(`--only: expected one of ${Object.keys(MEASUREMENTS).join(", ")}, got ${unknown}`);
  process.exit(2);
}

const bench = new Bench();
let isStopping = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (isStopping) process.exit(130);
    isStopping = true;
    void bench.stop().then(() => process.exit(130));
  });
}

const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown"}, ${Math.round(totalmem() / 1024 ** 3)} GiB, Linux ${release()}, Bun ${Bun.version}`;
const figures: Figure[] = [];
try {
  for (const [name, measure] of Object.entries(MEASUREMENTS)) {
    if (flags.only.length > 0 && !flags.only.includes(name)) continue;
    if (!flags.json) console.error(`measuring ${name} …`);
    figures.push(...(await measure(bench, flags.quick ? QUICK_EFFORT : FULL_EFFORT)));
  }
} finally {
  await bench.stop();
}
if (flags.json) console.log(JSON.stringify({ machine, quick: flags.quick, figures }, null, 2));
else {
  const table = new CliTable({
    head: ["figure", "value", "limit", "ratio", "aim", ""],
    style: { head: [], border: [] },
  });
  for (const figure of figures) table.push(row(figure));
  console.log(`${table.toString()}\n${machine}${flags.quick ? "\nquick run: the figures mean little" : ""}`);
}

function row(figure: Figure): string[] {
  const { name, value, unit, limit, ratio, aim, isMet } = figure;
  return [
    name,
    `${round(value)} ${unit}`,
    limit === null ? "" : `${round(limit.value)} (${limit.name})`,
    ratio === null ? "" : `${Math.round(ratio * 100)} %`,
    aim ?? "",
    isMet === null ? "" : isMet ? "met" : "missed",
  ];
}

function round(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en-GB") : value.toFixed(2);
}
