/**
 * Asks the server for jobs.
 *
 * Idle: one long poll with all that is free. Busy: when a slot frees while a poll is under way, a second one
 * asks for just that slot (a poll cannot be called back without the danger of losing the jobs of its
 * answer); such polls are short, so that a job larger than one slot waits at most `busyWaitMs` until all that
 * is free is offered in one. Under short jobs: as many more as `Prefetch` says, without waiting.
 */
import type { ClaimedJob, JobKind, YardmasterClient } from "@yardmaster/client";
import { add, type Resources } from "../domain/resources.ts";
import type { AgentLog } from "./agentLog.ts";
import { type Dispatcher, lessPending } from "./dispatcher.ts";
import { errorText } from "./errorText.ts";
import { MAX_CLAIM, type Prefetch } from "./prefetch.ts";
import { type ServerLink, StoppedError } from "./serverLink.ts";

/** Polls under way at one time. */
const MAX_POLLS = 4;
/** With this many results undelivered nothing more is claimed: what waits in memory stays bounded. */
const MAX_UNDELIVERED = 5_000;
/** After a claim that the server refused. */
const REFUSED_PAUSE_MS = 5_000;
/** After a poll that the server did not let wait: too many wait there, or it is about to end. */
const UNWAITED_PAUSE_MS = 200;

export interface ClaimLoopOptions {
  readonly client: YardmasterClient;
  readonly link: ServerLink;
  readonly dispatcher: Dispatcher;
  readonly prefetch: Prefetch;
  readonly log: AgentLog;
  readonly workerId: string;
  readonly queues: readonly string[];
  readonly kinds: readonly JobKind[];
  readonly maxJobs: number;
  readonly waitMs: number;
  readonly busyWaitMs: number;
  readonly undelivered: () => number;
  /** The server gives this worker nothing more. */
  readonly onDraining: () => void;
  /** Makes sure that the server thinks this worker holds no job that it does not know of. */
  readonly reconcile: (signal: AbortSignal) => Promise<void>;
}

interface Poll {
  readonly capacity: Resources;
  readonly isWaiting: boolean;
}

export class ClaimLoop {
  readonly #options: ClaimLoopOptions;
  readonly #polls = new Set<Poll>();
  readonly #stop = new AbortController();
  /** A slot was freed since the last poll began. */
  #hasFreed = false;
  /** The last claim ahead brought nothing: the queue at the server is empty, a long poll will tell. */
  #isDry = false;
  #pausedUntilMs = 0;
  /** Jobs may have been given to this worker in an answer that never came; so it is after a kill, too. */
  #mayHoldUnknown = true;

  constructor(options: ClaimLoopOptions) {
    this.#options = options;
  }

  /** Looks whether to claim. To be called at the start and after every change. */
  wake(): void {
    this.#hasFreed = true;
    this.#consider();
  }

  /** Claims nothing more; polls under way are called back, jobs that come all the same are passed on. */
  stop(): void {
    this.#stop.abort(new StoppedError("the agent claims nothing more"));
  }

  /** An answer may have been lost: `reconcile` has to be called once nothing is asked for any more. */
  get mayHoldUnknown(): boolean {
    return this.#mayHoldUnknown;
  }

  get isIdle(): boolean {
    return this.#polls.size === 0;
  }

  #consider(): void {
    const { dispatcher, link, undelivered } = this.#options;
    if (this.#stop.signal.aborted || link.isStopped || performance.now() < this.#pausedUntilMs) return;
    if (!dispatcher.hasRoom || undelivered() > MAX_UNDELIVERED) return;
    if (dispatcher.queued === 0) this.#pollForFree();
    if (this.#polls.size === 0) this.#pollAhead();
  }

  #pollForFree(): void {
    const { dispatcher, waitMs, busyWaitMs, maxJobs } = this.#options;
    if (this.#polls.size > 0 && (!this.#hasFreed || this.#polls.size >= MAX_POLLS)) return;
    const pending = [...this.#polls].map((poll) => poll.capacity);
    const free = lessPending(dispatcher.freeAfterQueue(), pending);
    if (free.cpu <= 0 && free.accelerators <= 0) return;
    const isAlone = this.#polls.size === 0 && dispatcher.active === 0;
    const room = maxJobs - dispatcher.active;
    this.#claim(notNegative(free), room, isAlone ? waitMs : Math.min(busyWaitMs, waitMs));
  }

  #pollAhead(): void {
    const { dispatcher, prefetch } = this.#options;
    if (this.#isDry) return;
    const wanted = prefetch.target(performance.now());
    const missing = wanted - dispatcher.queued;
    // Half of the target at a time: a claim for each single job would cost more than it wins.
    if (missing < Math.max(1, wanted / 2)) return;
    this.#claim(prefetch.room(missing), missing, 0);
  }

  #claim(capacity: Resources, max: number, waitMs: number): void {
    const { dispatcher, prefetch } = this.#options;
    let wanted = { capacity, max };
    if (waitMs > 0) {
      // A poll that finds many jobs may as well bring those that start in the next moments.
      const ahead = prefetch.target(performance.now());
      wanted = { capacity: add(capacity, prefetch.room(ahead)), max: max + ahead };
    }
    const poll: Poll = { capacity, isWaiting: waitMs > 0 };
    this.#polls.add(poll);
    this.#hasFreed = false;
    const beganMs = performance.now();
    this.#request(wanted.capacity, Math.max(1, Math.min(MAX_CLAIM, wanted.max)), waitMs).then(
      (jobs) => {
        this.#polls.delete(poll);
        this.#isDry = jobs.length === 0;
        if (jobs.length > 0) {
          dispatcher.accept(jobs);
          this.#hasFreed = true;
        } else if (performance.now() - beganMs < waitMs / 2) this.#pause(UNWAITED_PAUSE_MS);
        this.#consider();
      },
      (error) => {
        this.#polls.delete(poll);
        if (error instanceof StoppedError) return;
        this.#options.log.error("the server refused a claim", { error: errorText(error) });
        this.#pause(REFUSED_PAUSE_MS);
      },
    );
  }

  #pause(ms: number): void {
    this.#pausedUntilMs = performance.now() + ms;
    setTimeout(() => this.wake(), ms);
  }

  #request(capacity: Resources, max: number, waitMs: number): Promise<ClaimedJob[]> {
    const { client, link, workerId, queues, kinds, onDraining, reconcile } = this.#options;
    const request = { workerId, queues: [...queues], kinds: [...kinds], capacity, max, waitMs };
    const attempt = async (signal: AbortSignal): Promise<ClaimedJob[]> => {
      // Only while no other poll is under way: its jobs are unknown too until they arrive.
      if (this.#mayHoldUnknown && this.#polls.size === 1) {
        await reconcile(signal);
        this.#mayHoldUnknown = false;
      }
      try {
        return await client.claim(request, { signal, onDraining });
      } catch (error) {
        this.#mayHoldUnknown = true;
        throw error;
      }
    };
    return link.call("claim", attempt, this.#stop.signal);
  }
}

function notNegative({ cpu, accelerators, memoryMb }: Resources): Resources {
  return { cpu: Math.max(0, cpu), accelerators: Math.max(0, accelerators), memoryMb: Math.max(0, memoryMb) };
}
