/** `/metrics`: the engine's figures, the HTTP routes' and the process's own, in Prometheus' text form. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { histogramText, type LabelledHistogram } from "../dialects/histogramText.ts";
import { JOB_STATES } from "../domain/job.ts";
import { WORKER_STATES } from "../domain/worker.ts";
import type { Engine, EngineFigures, Stats } from "../engine/engine.ts";
import { type RouteTimes, TIME_BOUNDS_SECONDS } from "./routeTimes.ts";

/** Queues with a label of their own; the rest is counted as "other", so that the labels stay bounded. */
const MAX_QUEUE_LABELS = 200;
const OTHER = "other";

/** Default figures that only Node's own engine has. */
const NOT_OF_THIS_RUNTIME = [
  "nodejs_heap_space_size_total_bytes",
  "nodejs_heap_space_size_used_bytes",
  "nodejs_heap_space_size_available_bytes",
  "nodejs_gc_duration_seconds",
];

export class Metrics {
  readonly #engine: Engine;
  readonly #registry = new Registry();
  readonly #jobs: Gauge;
  readonly #workers: Gauge;
  readonly #leasesLost: Counter;
  readonly #queuedCommands: Gauge;
  readonly #queuedBytes: Gauge;
  readonly #storeBytes: Gauge;
  readonly #httpRequests: Counter;
  readonly #openSockets: Gauge;
  #routes: readonly RouteTimes[] = [];
  #socketCount: () => number = () => 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    const registers = [this.#registry];
    const gauge = (name: string, help: string, labelNames: string[] = []) =>
      new Gauge({ name: `yardmaster_${name}`, help, labelNames, registers });
    const counter = (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name: `yardmaster_${name}`, help, labelNames, registers });

    this.#jobs = gauge("jobs", "Jobs by state and queue", ["state", "queue"]);
    this.#workers = gauge("workers", "Workers by state", ["state"]);
    this.#leasesLost = counter("leases_lost_total", "Leases that ran out");
    this.#queuedCommands = gauge("queued_commands", "Commands that wait in memory to be committed");
    this.#queuedBytes = gauge("queued_bytes", "Size of the commands that wait in memory");
    this.#storeBytes = gauge("store_bytes", "Size of the store");
    this.#openSockets = gauge("open_sockets", "WebSockets, event streams and followed logs that are open");
    this.#httpRequests = counter("http_requests_total", "Requests", ["method", "route", "status"]);
    collectDefaultMetrics({ register: this.#registry });
    for (const name of NOT_OF_THIS_RUNTIME) this.#registry.removeSingleMetric(name);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Names the routes whose times are shown. */
  observe(routes: readonly RouteTimes[]): void {
    this.#routes = routes;
  }

  /** Says how many WebSockets and streams are open. */
  observeSockets(count: () => number): void {
    this.#socketCount = count;
  }

  /** All figures as they are now. */
  async text(): Promise<string> {
    const [stats, figures] = await Promise.all([this.#engine.read.stats(), this.#engine.figures()]);
    this.#setStats(stats);
    this.#setFigures(figures);
    this.#openSockets.set(this.#socketCount());
    const httpSeconds = this.#setRoutes();
    const counted = await this.#registry.metrics();
    return [counted, ...engineHistograms(figures), httpSeconds].join("\n");
  }

  #setStats(stats: Stats): void {
    this.#jobs.reset();
    stats.queues.forEach(({ queue, jobsByState }, place) => {
      const label = place < MAX_QUEUE_LABELS ? queue : OTHER;
      for (const state of JOB_STATES) this.#jobs.inc({ state, queue: label }, jobsByState[state]);
    });
    for (const state of WORKER_STATES) this.#workers.set({ state }, stats.workersByState[state]);
  }

  #setFigures(figures: EngineFigures): void {
    this.#leasesLost.reset();
    this.#leasesLost.inc(figures.leasesLost);
    this.#queuedCommands.set(figures.queuedCommands);
    this.#queuedBytes.set(figures.queuedBytes);
    this.#storeBytes.set(figures.storeBytes);
  }

  #setRoutes(): string {
    this.#httpRequests.reset();
    const shown: LabelledHistogram[] = [];
    for (const { method, path, byStatus } of this.#routes) {
      for (const [status, times] of byStatus) {
        const labels = { method, route: path, status: String(status) };
        this.#httpRequests.inc(labels, times.count);
        const { counts, count, sumSeconds: sum } = times;
        shown.push({ labels, histogram: { bounds: TIME_BOUNDS_SECONDS, counts, count, sum } });
      }
    }
    return histogramText("yardmaster_http_request_seconds", "Time to the answer", shown);
  }
}

function engineHistograms(figures: EngineFigures): string[] {
  const { commitSize, commitSeconds, claimSeconds, waitSeconds } = figures;
  const claimHelp = "From the arrival of a claim to its answer, waiting included";
  return [
    histogramText("yardmaster_commit_size", "Commands in one commit", [
      { labels: {}, histogram: commitSize },
    ]),
    histogramText("yardmaster_commit_seconds", "Time of one commit", [
      { labels: {}, histogram: commitSeconds },
    ]),
    histogramText("yardmaster_claim_seconds", claimHelp, [{ labels: {}, histogram: claimSeconds }]),
    histogramText("yardmaster_wait_seconds", "From ready to claimed", [
      { labels: {}, histogram: waitSeconds },
    ]),
  ];
}
