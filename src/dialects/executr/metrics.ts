/** Executr's Prometheus figures, under the names that existing dashboards read. */
import { Counter, Gauge, Registry } from "prom-client";
import type { Engine, EngineFigures, JobTally, NameCount } from "../../engine/engine.ts";
import { histogramText } from "../histogramText.ts";
import type { ApiTimes } from "./apiTimes.ts";
import { countActive } from "./executors.ts";
import { JOB_STATUSES, PRIORITIES, priorityOf, statusOf } from "./statuses.ts";

export class ExecutrMetrics {
  readonly #engine: Engine;
  readonly #times: ApiTimes;
  readonly #registry = new Registry();
  readonly #submitted: Counter;
  readonly #completed: Counter;
  readonly #failed: Counter;
  readonly #cancelled: Counter;
  readonly #recovered: Counter;
  readonly #inQueue: Gauge;
  readonly #active: Gauge;
  readonly #requests: Counter;

  constructor(engine: Engine, times: ApiTimes) {
    this.#engine = engine;
    this.#times = times;
    const registers = [this.#registry];
    const counter = (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name: `executr_${name}`, help, labelNames, registers });
    const gauge = (name: string, help: string, labelNames: string[] = []) =>
      new Gauge({ name: `executr_${name}`, help, labelNames, registers });
    const byExecutor = ["type", "priority", "executor"];
    this.#submitted = counter("jobs_submitted_total", "Jobs submitted", ["type", "priority"]);
    this.#completed = counter("jobs_completed_total", "Jobs completed", byExecutor);
    this.#failed = counter("jobs_failed_total", "Jobs failed, retries used up", byExecutor);
    this.#cancelled = counter("jobs_cancelled_total", "Jobs cancelled");
    this.#recovered = counter("stale_jobs_recovered_total", "Jobs put back because their executor vanished");
    this.#inQueue = gauge("jobs_in_queue", "Jobs by status and priority", ["status", "priority"]);
    this.#active = gauge("executors_active", "Executors heard from in the last 30 seconds");
    this.#requests = counter("api_requests_total", "Calls of this API", ["method", "endpoint", "status"]);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All figures as they are now. */
  async text(): Promise<string> {
    const [figures, tallies, active] = await Promise.all([
      this.#engine.figures(),
      this.#engine.read.tallies({ dialect: "executr" }),
      countActive(this.#engine.read),
    ]);
    this.#setEvents(figures.byName);
    this.#setQueue(tallies);
    this.#active.set(active);
    const requestSeconds = this.#setRequests();
    return [await this.#registry.metrics(), ...jobHistograms(figures), requestSeconds].join("\n");
  }

  #setEvents(counts: readonly NameCount[]): void {
    for (const one of [this.#submitted, this.#completed, this.#failed, this.#cancelled, this.#recovered]) {
      one.reset();
    }
    for (const { dialect, name: type, queue, workerId, event, count } of counts) {
      if (dialect !== "executr") continue;
      const labels = { type, priority: priorityOf(queue) ?? "" };
      const executor = workerId ?? "";
      if (event === "submitted") this.#submitted.inc(labels, count);
      else if (event === "succeeded") this.#completed.inc({ ...labels, executor }, count);
      else if (event === "failed") this.#failed.inc({ ...labels, executor }, count);
      else if (event === "cancelled") this.#cancelled.inc(count);
      else this.#recovered.inc(count);
    }
  }

  #setQueue(tallies: readonly JobTally[]): void {
    this.#inQueue.reset();
    for (const status of JOB_STATUSES) {
      for (const priority of PRIORITIES) this.#inQueue.set({ status, priority }, 0);
    }
    for (const { queue, state, count } of tallies) {
      const priority = priorityOf(queue);
      if (priority !== null) this.#inQueue.inc({ status: statusOf(state), priority }, count);
    }
  }

  #setRequests(): string {
    this.#requests.reset();
    const shown = this.#times.read().map(({ method, endpoint, byStatus, seconds }) => {
      for (const [status, count] of byStatus) this.#requests.inc({ method, endpoint, status }, count);
      return { labels: { method, endpoint }, histogram: seconds };
    });
    return histogramText("executr_api_request_duration_seconds", "Time to the answer", shown);
  }
}

function jobHistograms({ times }: EngineFigures): string[] {
  const own = times.filter(({ dialect }) => dialect === "executr");
  const waitHelp = "From submission to the first claim";
  return [
    histogramText(
      "executr_job_duration_seconds",
      "From start to end of finished jobs",
      own.map(({ runSeconds }) => ({ labels: {}, histogram: runSeconds })),
    ),
    histogramText(
      "executr_job_wait_time_seconds",
      waitHelp,
      own.map(({ waitSeconds }) => ({ labels: {}, histogram: waitSeconds })),
    ),
  ];
}
