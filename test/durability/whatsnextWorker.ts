/** One WhatsNext worker: the documented calls in a loop, over a new connection each, as the existing clients make them. */
import type { Handouts } from "./handouts.ts";

export interface WorkerOptions {
  readonly url: string;
  readonly projectId: number;
  readonly handouts: Handouts;
  readonly heartbeatMs: number;
  readonly longJobMs: number;
  readonly mishaps: Mishaps;
  readonly until: AbortSignal;
}

/** What happens now and then; asked once each time that it may. */
export interface Mishaps {
  /** A job is held for `longJobMs`, with heartbeats. */
  readonly isLong: () => boolean;
  /** A fetch is broken off before its answer. */
  readonly hangsUp: () => boolean;
  /** The worker vanishes with its job, and another one takes its place. */
  readonly vanishes: () => boolean;
}

interface Fetched {
  readonly job: { readonly id: number; readonly name: string } | null;
}

const RETRY_PAUSE_MS = 25;
const EMPTY_PAUSE_MS = 100;
/** About as long as the server takes, so that calls are broken off at every step of it. */
const MAX_HANG_UP_MS = 15;
const CALL_TIMEOUT_MS = 30_000;

/** Status 0 stands for no answer. */
interface Answer {
  readonly status: number;
  readonly text: string;
}

export class WhatsNextWorker {
  readonly #options: WorkerOptions;
  readonly #name: string;
  #incarnation = 0;
  #heartbeatAtMs = 0;
  /** Whether a fetch may have taken a job whose id never came here. */
  #mayHoldLostJob = false;

  constructor(options: WorkerOptions, name: string) {
    this.#options = options;
    this.#name = name;
  }

  get id(): string {
    return `${this.#name}-${this.#incarnation}`;
  }

  /** Takes jobs and does them until it is told to stop. */
  async run(): Promise<void> {
    await this.#register();
    while (!this.#options.until.aborted) {
      if (this.#mayHoldLostJob) await this.#giveUpLostJob();
      const job = await this.#fetch();
      if (job !== null) await this.#work(job);
    }
  }

  async #fetch(): Promise<number | null> {
    const { projectId, mishaps, handouts } = this.#options;
    const isHangUp = mishaps.hangsUp();
    const sentAtMs = performance.now();
    const path = `/projects/${projectId}/fetch_job?client_id=${this.id}`;
    const answer = await this.#call(
      "GET",
      path,
      undefined,
      isHangUp ? 1 + Math.random() * MAX_HANG_UP_MS : undefined,
    );
    if (answer.status !== 200) {
      this.#mayHoldLostJob = true;
      if (!isHangUp) await this.#refused("fetch_job", answer);
      return null;
    }
    const { job }: Fetched = JSON.parse(answer.text);
    if (job === null) {
      await Bun.sleep(EMPTY_PAUSE_MS);
      return null;
    }
    handouts.given(job.id, this.id, sentAtMs);
    return job.id;
  }

  async #work(job: number): Promise<void> {
    const { handouts, mishaps, longJobMs } = this.#options;
    if (!(await this.#report(job, "RUNNING"))) return;
    if (mishaps.vanishes()) {
      // Nobody says that it left: the job comes back when its lease has ended.
      this.#incarnation += 1;
      await this.#register();
      return;
    }
    if (mishaps.isLong()) await this.#holdFor(job, longJobMs);
    if (await this.#report(job, "COMPLETED")) handouts.completed(job, this.id);
  }

  async #holdFor(job: number, durationMs: number): Promise<void> {
    const deadline = performance.now() + durationMs;
    while (performance.now() < deadline) {
      await this.#beatWhenDue(job);
      await Bun.sleep(RETRY_PAUSE_MS);
    }
  }

  /** Reports until the server has answered; false when it does not want to hear it. */
  async #report(job: number, status: "RUNNING" | "COMPLETED"): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      await this.#beatWhenDue(job);
      const sentAtMs = performance.now();
      const answer = await this.#call("PUT", `/jobs/${job}`, { status });
      if (answer.status === 200) {
        // A repeated call may find the job RUNNING already, and then changes nothing.
        if (status === "RUNNING" && attempt === 1) this.#options.handouts.renewed(job, this.id, sentAtMs);
        return true;
      }
      if (answer.status === 400) {
        // Its lease had ended, and another worker was faster.
        this.#options.handouts.dropped(job, this.id);
        return false;
      }
      await this.#refused(`${status} of job ${job}`, answer);
    }
  }

  async #beatWhenDue(job: number): Promise<void> {
    const sentAtMs = performance.now();
    if (sentAtMs - this.#heartbeatAtMs < this.#options.heartbeatMs) return;
    const answer = await this.#call("POST", `/clients/${this.id}/heartbeat`, undefined);
    if (answer.status !== 200) return;
    this.#heartbeatAtMs = sentAtMs;
    this.#options.handouts.renewed(job, this.id, sentAtMs);
  }

  async #giveUpLostJob(): Promise<void> {
    await this.#insist(`/clients/${this.id}/deactivate`, undefined, 200);
    await this.#register();
    this.#mayHoldLostJob = false;
  }

  #register(): Promise<void> {
    const body = { id: this.id, name: this.id, entity: "test" };
    return this.#insist("/clients/register", body, 201);
  }

  async #insist(path: string, body: unknown, status: number): Promise<void> {
    for (;;) {
      const answer = await this.#call("POST", path, body);
      if (answer.status === status) return;
      await this.#refused(path, answer);
    }
  }

  /** A server that is away is waited for, for as long as the test goes on; anything else is a fault. */
  async #refused(what: string, answer: Answer): Promise<void> {
    this.#options.until.throwIfAborted();
    if (answer.status !== 0 && answer.status !== 503) {
      this.#options.handouts.fault(null, `${what} by ${this.id}: ${answer.status} ${answer.text}`);
    }
    await Bun.sleep(RETRY_PAUSE_MS);
  }

  async #call(
    method: string,
    path: string,
    body: unknown,
    timeoutMs: number = CALL_TIMEOUT_MS,
  ): Promise<Answer> {
    try {
      const response = await fetch(`${this.#options.url}${path}`, {
        method,
        keepalive: false,
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
      });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      return { status: 0, text: String(error) };
    }
  }
}
