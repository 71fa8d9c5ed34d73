/**
 * The agent: claims jobs, runs them, reports how they ended.
 *
 * ```ts
 * const agent = await startAgent({ serverUrl: "http://127.0.0.1:8000", cpu: 4 });
 * process.once("SIGTERM", () => agent.drain());
 * await agent.finished;
 * ```
 */
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { type JobResult, YardmasterClient } from "@yardmaster/client";
import type { NodeKey } from "../domain/provenance.ts";
import { type AgentOptions, type AgentSettings, agentSettings } from "./agentOptions.ts";
import { BinaryCache } from "./binaries/binaryCache.ts";
import { ClaimLoop } from "./claimLoop.ts";
import { diskRoom } from "./diskRoom.ts";
import { Dispatcher } from "./dispatcher.ts";
import { baseEnvironment } from "./environment.ts";
import { errorText } from "./errorText.ts";
import { Escapees } from "./escapees.ts";
import { exchangeRunMark, workerIdentity } from "./identity.ts";
import { type Isolation, openIsolation } from "./isolation/isolation.ts";
import { attemptKey, Journal, type OpenAttempt } from "./journal.ts";
import { LeaseKeeper } from "./leaseKeeper.ts";
import { endLeftProcesses } from "./leftovers.ts";
import { LogShipper } from "./logShipper.ts";
import { thisMachine } from "./machine.ts";
import { LoadReporter } from "./machineLoad.ts";
import { nodeKeyIn } from "./nodeKey.ts";
import { Prefetch } from "./prefetch.ts";
import { unknownHeldJobs } from "./reconcile.ts";
import { ResultSender } from "./resultSender.ts";
import { RUNNABLE_KINDS, runnersOf } from "./runners.ts";
import { ENVIRONMENTS_FOLDER } from "./scripts/environments.ts";
import { findNvidiaSmi } from "./scripts/gpuUse.ts";
import { OLDER_ENVIRONMENTS_FOLDER } from "./scripts/olderEnvironments.ts";
import { ScriptServices } from "./scripts/scriptServices.ts";
import { ServerLink } from "./serverLink.ts";
import { Slots } from "./slots.ts";
import { lockStateDir, makeStateDir } from "./stateLock.ts";
import { startWatchdog } from "./watchdog.ts";
import { Workspaces } from "./workspaces.ts";
import { WorkspaceWatch } from "./workspaceWatch.ts";

export { IsolationUnavailableError } from "./isolation/isolation.ts";
export { StateDirError, StateDirInUseError } from "./stateLock.ts";

export interface RunningAgent {
  readonly workerId: string;
  /** Resolves when the server knows the worker; rejects if the agent ends before. */
  readonly registered: Promise<void>;
  /** Claims nothing more, lets running jobs end, delivers what there is. Resolves with `finished`. */
  drain(): Promise<void>;
  /**
   * Ends running jobs and gives them back. Resolves with `finished`.
   * @param options.isServerGone does not wait for the server to take results: the next run delivers them
   */
  stop(options?: { readonly isServerGone: boolean }): Promise<void>;
  /** Resolves when nothing runs any more and everything is delivered or on disk. */
  readonly finished: Promise<void>;
}

/** A model on a slow line takes its time; a connection that is dead is noticed by the server. */
const TRANSFER_TIMEOUT_MS = 86_400_000;
/** Looks whether the end is reached this often while nothing tells of it. */
const SETTLE_POLL_MS = 10;
/** Jobs that run for less on average are told of by their results alone, where that comes soon enough. */
const SHORT_JOB_MS = 25;

/**
 * Starts an agent. Does not wait for the server: it is tried for as long as the agent runs.
 *
 * @throws RangeError for an option out of range, StateDirError when another agent uses the state
 * directory or it cannot be written, IsolationUnavailableError when isolation is required and the machine lacks it.
 */
export async function startAgent(options: AgentOptions = {}): Promise<RunningAgent> {
  const settings = agentSettings(options, RUNNABLE_KINDS);
  const { stateDir, log } = settings;
  makeStateDir(stateDir);
  const unlock = lockStateDir(stateDir);
  try {
    const mark = crypto.randomUUID();
    const previousMark = exchangeRunMark(stateDir, mark);
    if (previousMark !== null) {
      const workRoot = join(realpathSync(stateDir), "work");
      const ended = await endLeftProcesses(previousMark, workRoot, settings.graceMs);
      if (ended > 0) log.warn("ended processes that an earlier run had left", { processes: ended });
    }
    const { cacheDir } = settings.binaries;
    const environments = [ENVIRONMENTS_FOLDER, OLDER_ENVIRONMENTS_FOLDER].map((name) => join(cacheDir, name));
    // A job that may write a folder around them would else choose what other jobs run.
    const hide = [...settings.isolation.hide, ...environments];
    const isolation = await openIsolation({ ...settings.isolation, hide }, settings.kinds, stateDir, log);
    return new Agent(settings, options.client, mark, isolation, await nodeKeyIn(stateDir), unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

class Agent implements RunningAgent {
  readonly workerId: string;
  readonly registered: Promise<void>;
  readonly finished: Promise<void>;
  readonly #settings: AgentSettings;
  readonly #client: YardmasterClient;
  readonly #unlock: () => void;
  readonly #journal: Journal;
  readonly #workspaces: Workspaces;
  readonly #isolation: Isolation;
  readonly #nodeKey: NodeKey;
  readonly #binaries: BinaryCache;
  readonly #link: ServerLink;
  readonly #logs: LogShipper;
  readonly #results: ResultSender;
  readonly #leases: LeaseKeeper;
  readonly #dispatcher: Dispatcher;
  readonly #claims: ClaimLoop;
  readonly #load: LoadReporter;
  readonly #escapees: Escapees;
  readonly #watchdog: ReturnType<typeof startWatchdog>;
  readonly #finish = Promise.withResolvers<void>();
  #ending: "no" | "draining" | "stopping" = "no";
  #isServerGone = false;

  constructor(
    settings: AgentSettings,
    given: YardmasterClient | undefined,
    mark: string,
    isolation: Isolation,
    nodeKey: NodeKey,
    unlock: () => void,
  ) {
    const { stateDir, serverUrl, apiKey, log, capacity, workspaceLimitMb } = settings;
    this.#settings = settings;
    this.#unlock = unlock;
    this.#isolation = isolation;
    this.#nodeKey = nodeKey;
    this.finished = this.#finish.promise;
    this.workerId = workerIdentity(stateDir, settings.workerId);
    const { workerId } = this;
    // The agent repeats requests itself, for as long as it lives.
    const client =
      given ??
      new YardmasterClient({
        baseUrl: serverUrl,
        apiKey,
        maxRetries: 0,
        transferTimeoutMs: TRANSFER_TIMEOUT_MS,
      });

    this.#client = client;

    this.#journal = new Journal(join(stateDir, "journal.ndjson"), log);
    this.#workspaces = new Workspaces(join(stateDir, "work"), mark.slice(0, 8), log);
    this.#link = new ServerLink({
      serverUrl,
      maxRetryPauseMs: settings.maxRetryPauseMs,
      log,
      register: (signal) => this.#register(signal),
    });
    const shared = { client, link: this.#link, workerId, log };
    this.#logs = new LogShipper({ ...settings, ...shared, spoolDir: join(stateDir, "spool") });
    this.#results = new ResultSender({
      ...shared,
      onDelivered: (attempts) => {
        this.#journal.done(attempts);
        for (const attempt of attempts) this.#leases.release(attemptKey(attempt));
      },
    });
    const prefetch = new Prefetch(settings.prefetchMs, capacity, settings.maxJobs);
    this.#leases = new LeaseKeeper({
      ...shared,
      renewEveryMs: settings.renewEveryMs,
      areJobsShort: () => prefetch.isShorterThan(SHORT_JOB_MS),
      onLost: (key) => this.#dispatcher.end(key, "leaseLost"),
      onCancelled: (key) => this.#dispatcher.end(key, "cancelled"),
    });
    const server = { url: serverUrl, apiKey };
    const { cacheDir, cacheBytes, limits } = settings.binaries;
    this.#binaries = new BinaryCache({ folder: cacheDir, maxBytes: cacheBytes, limits, server, log });
    const environment = baseEnvironment(process.env, serverUrl, mark);
    const scripts = new ScriptServices({
      ...{ settings: settings.scripts, cacheDir, binaries: this.#binaries, limits, server, nodeKey },
      ...{ ...shared, baseEnvironment: environment, ownEnvironment: process.env },
    });
    this.#dispatcher = new Dispatcher({
      services: {
        journal: this.#journal,
        logs: this.#logs,
        workerId,
        workspaces: this.#workspaces,
        workspaceWatch: workspaceLimitMb === null ? null : new WorkspaceWatch(workspaceLimitMb),
        baseEnvironment: environment,
        isolation,
        graceMs: settings.graceMs,
        outputDrainMs: settings.outputDrainMs,
      },
      slots: new Slots(capacity),
      leases: this.#leases,
      prefetch,
      runners: runnersOf({ binaries: this.#binaries, server, scripts }),
      maxJobs: settings.maxJobs,
      maxAgeMs: settings.prefetchMaxAgeMs,
      log,
      makeRoom: diskRoom([this.#binaries, scripts.environments], log),
      onResult: (result) => this.#results.add(result),
      onChange: () => {
        this.#claims.wake();
        this.#escapees.jobEnded();
      },
    });
    this.#claims = new ClaimLoop({
      ...settings,
      ...shared,
      dispatcher: this.#dispatcher,
      prefetch,
      undelivered: () => this.#results.size,
      onDraining: () => this.#drainedByServer(),
      reconcile: (signal) => this.#reconcile(signal),
    });
    this.#escapees = new Escapees(mark, (id) => this.#dispatcher.runs(id), this.#workspaces, log);
    this.#watchdog = startWatchdog(mark, settings.graceMs, this.#workspaces.root);
    this.#deliverLeftovers(this.#journal.openAttempts());
    this.registered = this.#link.call("registration", async () => {});
    this.#load = new LoadReporter({
      ...{ client, workerId, everyMs: settings.loadEveryMs, nvidiaSmi: findNvidiaSmi() },
    });
    // Whoever does not wait for it need not handle it.
    this.registered.then(() => this.#load.start()).catch(() => {});
    this.#claims.wake();
  }

  drain(): Promise<void> {
    if (this.#ending !== "no") return this.finished;
    this.#ending = "draining";
    this.#settings.log.info("draining", { running: this.#dispatcher.running });
    void this.#end();
    return this.finished;
  }

  #drainedByServer(): void {
    if (this.#ending !== "no") return;
    this.#settings.log.info("the server drains this worker: it ends when its jobs have ended");
    void this.drain();
  }

  stop(options?: { readonly isServerGone: boolean }): Promise<void> {
    if (options?.isServerGone === true) this.#isServerGone = true;
    if (this.#ending === "stopping") return this.finished;
    const wasDraining = this.#ending === "draining";
    this.#ending = "stopping";
    this.#settings.log.info("stopping", { running: this.#dispatcher.running });
    this.#dispatcher.endAll("agentStopped");
    if (!wasDraining) void this.#end();
    return this.finished;
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { name, capacity, labels, queues, kinds } = this.#settings;
    // Jobs can require it of a worker only where it holds for whatever the worker runs.
    const isolated = this.#isolation.isolatesAll(kinds) ? { isolation: "bubblewrap" } : {};
    await this.#client.registerWorker(
      {
        id: this.workerId,
        name,
        address: name,
        capacity: { ...capacity },
        labels: { ...isolated, ...labels },
        queues: [...queues],
        kinds: [...kinds],
        publicKey: this.#nodeKey.publicKey,
        machine: await thisMachine(),
      },
      { signal },
    );
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const known = (): Set<number> => new Set(this.#journal.openAttempts().map((open) => open.id));
    const unknown = await unknownHeldJobs(this.#client, this.workerId, known, signal);
    for (const result of unknown) this.#results.add(result);
    if (unknown.length > 0) {
      this.#settings.log.info("giving back jobs whose claim was lost on its way", { jobs: unknown.length });
    }
  }

  /** Reports what an earlier run left: results it could not deliver, jobs it had not begun, jobs cut short. */
  #deliverLeftovers(left: readonly OpenAttempt[]): void {
    this.#logs.removeOrphans(left);
    for (const { id, attempt, stage, result, chunks } of left) {
      const cut: JobResult = {
        id,
        attempt,
        outcome: stage === "claimed" ? "released" : "lost",
        ...(stage === "claimed" ? {} : { error: "the agent was ended while the job ran" }),
      };
      const log = this.#logs.reopen(id, attempt, chunks);
      log.close(() => this.#results.add(result ?? cut));
      log.flush();
    }
    if (left.length > 0) this.#settings.log.info("reporting jobs of an earlier run", { jobs: left.length });
  }

  async #end(): Promise<void> {
    const { drainTimeoutMs, flushTimeoutMs, graceMs, outputDrainMs, log } = this.#settings;
    this.#claims.stop();
    this.#dispatcher.close();
    // A long drain may turn into a stop at any moment.
    const drainMs = drainTimeoutMs ?? Number.POSITIVE_INFINITY;
    const drained = await this.#until(() => this.#dispatcher.isDone || this.#ending === "stopping", drainMs);
    if (!drained || this.#ending === "stopping") {
      this.#dispatcher.endAll("agentStopped");
      await this.#until(() => this.#dispatcher.isDone, graceMs + outputDrainMs + 5_000);
    }
    const flushEndsMs = performance.now() + flushTimeoutMs;
    // What a run before this one may have been given, the next one asks for.
    const mayHoldUnknown = this.#claims.mayHoldUnknown && this.#link.wasUp;
    if (mayHoldUnknown && !this.#isServerGone) await this.#reconcileAtEnd(flushTimeoutMs / 2);
    const isEverythingSaid = (): boolean =>
      this.#claims.isIdle && this.#dispatcher.running === 0 && this.#logs.isIdle && this.#results.size === 0;
    await this.#until(() => this.#isServerGone || isEverythingSaid(), flushEndsMs - performance.now());
    const isFlushed = isEverythingSaid();
    if (!isFlushed) log.warn("not everything could be delivered; the next run will do it");
    this.#load.stop();
    this.#link.stop();
    this.#leases.stop();
    this.#escapees.stop();
    await this.#isolation.close();
    this.#binaries.close();
    await this.#workspaces.settled();
    await this.#watchdog.dismiss();
    this.#journal.close();
    this.#unlock();
    log.info("ended");
    this.#finish.resolve();
  }

  /** The polls were called back: a job may have been given all the same. */
  async #reconcileAtEnd(timeoutMs: number): Promise<void> {
    await this.#until(() => this.#claims.isIdle, timeoutMs);
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      await this.#link.call("held jobs", (both) => this.#reconcile(both), signal);
    } catch (error) {
      this.#settings.log.warn("cannot ask for jobs held unknowingly", { error: errorText(error) });
    }
  }

  /** True when `isReached` became true within the time. */
  async #until(isReached: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!isReached()) {
      if (performance.now() >= deadline) return false;
      await Bun.sleep(SETTLE_POLL_MS);
    }
    return true;
  }
}
