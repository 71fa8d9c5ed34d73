/** One attempt from its start to its result. */

import { resolve } from "node:path";
import type { ClaimedJob, JobResult, Json } from "@yardmaster/client";
import type { LogStream } from "../domain/job.ts";
import { OutputCutter } from "../domain/outputCut.ts";
import { exactEnvironment, jobEnvironment } from "./environment.ts";
import { errorText } from "./errorText.ts";
import type { Confinement } from "./isolation/confinement.ts";
import type { Isolation } from "./isolation/isolation.ts";
import type { JobLog } from "./jobLog.ts";
import { runStep } from "./jobStep.ts";
import type { Journal } from "./journal.ts";
import type { LogShipper } from "./logShipper.ts";
import { isFull, MachineBusyError, machineFault } from "./machineFault.ts";
import { JobFault, type Launch, type RunContext, type Runner } from "./runner.ts";
import { attemptOf, type EndedJob, endText, resultOfEnd, resultOfProcess } from "./runResult.ts";
import type { Grant } from "./slots.ts";
import { type EndReason, type ProcessEnd, SupervisedProcess } from "./supervisedProcess.ts";
import type { Workspaces } from "./workspaces.ts";
import type { WorkspaceWatch } from "./workspaceWatch.ts";

/** What all runs of an agent use. */
export interface RunServices {
  readonly journal: Journal;
  readonly logs: LogShipper;
  /** The worker's id, by which a job is told whose machine was at fault. */
  readonly workerId: string;
  readonly workspaces: Workspaces;
  /** Null where the space of workspaces is not limited. */
  readonly workspaceWatch: WorkspaceWatch | null;
  readonly baseEnvironment: Readonly<Record<string, string>>;
  readonly isolation: Isolation;
  readonly graceMs: number;
  readonly outputDrainMs: number;
}

export interface RunEvents {
  /** The job is being prepared, which takes a while; it needs nothing of what it was given until `onPrepared`. */
  readonly onPreparing: (run: JobRun) => void;
  /** It can be started, by `resume`. */
  readonly onPrepared: (run: JobRun) => void;
  /** The process runs. */
  readonly onStarted: (run: JobRun) => void;
  /** Nothing of the job runs any more: what it was given is free. */
  readonly onFree: (run: JobRun) => void;
  /** Something is wrong with the machine; the job is given back. */
  readonly onMachineBusy: (fault: MachineBusyError) => void;
  /** All is done and noted. `result` is to be delivered; null when the server wants none. */
  readonly onFinished: (run: JobRun, result: JobResult | null) => void;
}

/** Longest delay a timer can have. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class JobRun {
  readonly job: ClaimedJob;
  #grant: Grant;
  readonly #runner: Runner;
  readonly #services: RunServices;
  readonly #events: RunEvents;
  /** Made at the start, with the workspace. */
  #context: RunContext | null = null;
  #process: SupervisedProcess | null = null;
  #unwatch: (() => void) | null = null;
  /** Opened by the first output: many jobs have none. */
  #log: JobLog | null = null;
  #startedAtMs: number | null = null;
  /** Given before there was a process to end. */
  #earlyEnd: EndReason | null = null;
  /** Aborted by an early end; made where a preparation asks for it. */
  #abort: AbortController | null = null;
  #prepareTimer: ReturnType<typeof setTimeout> | undefined;
  /** What to start, while it waits for `resume`. */
  #prepared: Launch | null = null;
  /** How long the preparation took, which counts as a part of the time limit. */
  #preparedMs = 0;
  #launched: Launch | null = null;
  #isOver = false;
  #isSettling = false;
  #steps = 0;
  readonly #cutters = new Map<LogStream, OutputCutter>();

  constructor(job: ClaimedJob, grant: Grant, runner: Runner, services: RunServices, events: RunEvents) {
    this.job = job;
    this.#grant = grant;
    this.#runner = runner;
    this.#services = services;
    this.#events = events;
  }

  get #ended(): EndedJob {
    return { job: this.job, workspaceLimitMb: this.#services.workspaceWatch?.limitMb ?? null };
  }

  /** What the job has of the machine. */
  get grant(): Grant {
    return this.#grant;
  }

  /** @throws MachineBusyError when there is no room, and what the file system throws */
  #newContext(): RunContext {
    const { workspaces } = this.#services;
    // A disk that a job has just filled is about to be free again.
    if (!workspaces.isRemoving && isFull(workspaces.root)) {
      throw new MachineBusyError("no space is left on the agent's disk (state-dir)", {
        folder: workspaces.root,
      });
    }
    const signal = (): AbortSignal => {
      this.#abort ??= new AbortController();
      return this.#abort.signal;
    };
    return {
      job: this.job,
      workspace: workspaces.take(),
      get signal() {
        return signal();
      },
      note: (text) => this.#openLog().note(`[yardmaster: ${text}]`),
      step: (launch, options) =>
        runStep(launch, options, {
          ...{ job: this.job, services: this.#services, signal: signal(), number: ++this.#steps },
          endReason: () => this.#earlyEnd,
          toLog: (stream, bytes) => this.#openLog().append(stream, bytes),
        }),
    };
  }

  /** How long the process ran, so far or in all; null when it never did. */
  runMs(): number | null {
    return this.#startedAtMs === null ? null : Date.now() - this.#startedAtMs;
  }

  /** The process has ended, and what it left is being gathered. */
  get isSettling(): boolean {
    return this.#isSettling && !this.#isOver;
  }

  start(): void {
    this.#services.journal.started(this.job);
    try {
      this.#context = this.#newContext();
      const launch = this.#runner.prepare(this.#context);
      if (launch instanceof Promise) {
        this.#whilePreparing(launch);
      } else this.#launch(launch);
    } catch (error) {
      this.#failBeforeStart(error);
    }
  }

  /** Ends the run for a reason from outside. */
  end(reason: EndReason): void {
    if (this.#process !== null && !this.#isSettling) {
      this.#process.end(reason);
      return;
    }
    if (this.#isOver) return;
    this.#earlyEnd ??= reason;
    this.#abort?.abort(new Error(endText(this.#ended, this.#earlyEnd)));
    if (this.#prepared !== null) this.#endEarly(this.#earlyEnd);
  }

  /** Starts what `onPrepared` told of. */
  resume(grant: Grant): void {
    const launch = this.#prepared;
    this.#grant = grant;
    this.#prepared = null;
    if (launch !== null) this.#launch(launch);
  }

  #whilePreparing(launch: Promise<Launch>): void {
    const beganMs = performance.now();
    const { timeoutMs } = this.job;
    if (timeoutMs !== null && timeoutMs <= MAX_TIMER_MS) {
      this.#prepareTimer = setTimeout(() => this.end("timeLimit"), timeoutMs);
    }
    launch.then(
      (ready) => {
        clearTimeout(this.#prepareTimer);
        this.#preparedMs = performance.now() - beganMs;
        this.#prepared = ready;
        if (this.#earlyEnd !== null) this.#endEarly(this.#earlyEnd);
        else this.#events.onPrepared(this);
      },
      (error) => {
        clearTimeout(this.#prepareTimer);
        this.#failBeforeStart(error);
      },
    );
    this.#events.onPreparing(this);
  }

  /** @param fault of the preparation, which ended with the job: what goes with a failure it holds. */
  #endEarly(reason: EndReason, fault?: unknown): void {
    this.#launched ??= this.#prepared;
    this.#prepared = null;
    if (reason === "leaseLost") this.#log?.discard();
    else this.#log?.note(`[yardmaster: ${endText(this.#ended, reason)}]`);
    const result = resultOfEnd(this.#ended, reason);
    const extras = result?.outcome === "failed" && fault instanceof JobFault ? fault.extras : {};
    this.#freeAndFinish(result === null ? null : { ...result, ...extras });
  }

  #launch(launch: Launch): void {
    this.#launched = launch;
    if (this.#earlyEnd !== null) {
      this.#endEarly(this.#earlyEnd);
      return;
    }
    const { workspace } = this.#begun();
    try {
      this.#process = this.#spawn(launch, workspace);
    } catch (error) {
      this.#failBeforeStart(error);
      return;
    }
    this.#startedAtMs = Date.now();
    const { workspaceWatch } = this.#services;
    if (workspaceWatch !== null) {
      this.#unwatch = workspaceWatch.watch(workspace, () => this.#process?.end("workspaceLimit"));
    }
    launch.onStarted?.(this.#process, this.grant.accelerators);
    this.#events.onStarted(this);
  }

  #begun(): RunContext {
    if (this.#context === null) throw new Error("the run has not begun");
    return this.#context;
  }

  #spawn(launch: Launch, workspace: string): SupervisedProcess {
    const { baseEnvironment, graceMs, outputDrainMs, isolation } = this.#services;
    const { job } = this;
    const { accelerators } = this.grant;
    const env = launch.hasExactEnvironment
      ? exactEnvironment(launch.env, accelerators)
      : jobEnvironment(baseEnvironment, job, launch.env, workspace, accelerators);
    const hasAccelerators = accelerators.length > 0;
    const confinement = isolation.confine({ job, launch, workspace, hasAccelerators, env });
    const own = { argv: launch.argv, env, cwd: resolve(workspace, launch.cwd) };
    const { argv, env: processEnv, cwd }: Pick<Confinement, keyof typeof own> = confinement ?? own;
    try {
      return new SupervisedProcess({
        argv,
        env: processEnv,
        cwd,
        timeoutMs: job.timeoutMs === null ? null : Math.max(1, job.timeoutMs - Math.ceil(this.#preparedMs)),
        graceMs,
        outputDrainMs,
        confinement,
        onOutput: (stream, bytes) => {
          this.#openLog().append(stream, bytes);
          launch.onOutput?.(stream, bytes);
          if (launch.keepsCutOutputs) this.#cutterOf(stream).append(bytes);
        },
        onExit: () => {
          this.#unwatch?.();
          this.#events.onFree(this);
        },
        onEnd: (end) => this.#onEnd(end),
      });
    } catch (error) {
      confinement?.release();
      throw error;
    }
  }

  #openLog(): JobLog {
    this.#log ??= this.#services.logs.open(this.job.id, this.job.attempt);
    return this.#log;
  }

  #cutterOf(stream: LogStream): OutputCutter {
    let cutter = this.#cutters.get(stream);
    if (cutter === undefined) {
      cutter = new OutputCutter();
      this.#cutters.set(stream, cutter);
    }
    return cutter;
  }

  /** The outputs that were too long to be taken from the log. */
  #cutOutputs(): Pick<JobResult, "result"> {
    const cut = [...this.#cutters].filter(([, cutter]) => cutter.isCut);
    this.#cutters.clear();
    if (cut.length === 0) return {};
    return { result: Object.fromEntries(cut.map(([stream, cutter]) => [stream, cutter.text()])) };
  }

  #failBeforeStart(error: unknown): void {
    if (this.#earlyEnd !== null) {
      this.#endEarly(this.#earlyEnd, error);
      return;
    }
    const busy = machineFault(error, this.#services.workspaces.root, "state-dir");
    if (busy !== null) this.#freeAndFinish(this.#givenBack(busy));
    else {
      const fault = error instanceof JobFault ? error : new JobFault(errorText(error));
      const { exitCode, message, extras } = fault;
      this.#freeAndFinish({ ...attemptOf(this.job), outcome: "failed", exitCode, error: message, ...extras });
    }
  }

  /**
   * The machine is at fault: others may have the job. Where the job itself used up what is missing, the machine is well,
   * and the job goes back only as often as it may be recovered, or it would go in circles for ever.
   */
  #givenBack(fault: MachineBusyError, hasRun = false): JobResult {
    const isStillShort = fault.folder !== null && isFull(fault.folder);
    const isTheJobs = fault.mayBeTheJobs && !isStillShort;
    if (!isTheJobs) this.#events.onMachineBusy(fault);
    if (!isTheJobs && !hasRun) return { ...attemptOf(this.job), outcome: "released" };
    const error = `${fault.message}, on the node ${this.#services.workerId}`;
    this.#log?.note(`[yardmaster: ${error}; the job goes back to the queue]`);
    return { ...attemptOf(this.job), outcome: "lost", error };
  }

  #freeAndFinish(result: JobResult | null): void {
    this.#events.onFree(this);
    const settle = this.#launched?.settle;
    if (result?.outcome !== "failed" || settle === undefined) this.#finish(result);
    else {
      const error = result.error ?? null;
      this.#settle(settle, { exitCode: result.exitCode ?? 126, signal: null, reason: null, error }, result);
    }
  }

  #onEnd(end: ProcessEnd): void {
    // What a job wrote after its lease was lost belongs to nobody; a cancelled job's last words are still sent.
    if (end.reason === "leaseLost") this.#log?.discard();
    else if (end.reason !== null) this.#openLog().note(`[yardmaster: ${endText(this.#ended, end.reason)}]`);
    const ended = resultOfProcess(this.#ended, end, this.#startedAtMs);
    const result = ended === null ? null : { ...ended, ...this.#cutOutputs() };
    const { collect } = this.#runner;
    const settle = this.#launched?.settle;
    if (settle !== undefined && (result?.outcome === "succeeded" || result?.outcome === "failed")) {
      this.#settle(settle, end, result);
    } else if (collect === undefined || result?.outcome !== "succeeded") this.#finish(result);
    else this.#collect(collect, end, result);
  }

  #collect(collect: NonNullable<Runner["collect"]>, end: ProcessEnd, result: JobResult): void {
    Promise.resolve()
      .then(() => collect(this.#begun(), end))
      .then(
        (collected: Json) => this.#finish({ ...result, result: collected }),
        (error) => this.#finish(this.#unkept(result, error)),
      );
  }

  /** What a job left could not be gathered. */
  #unkept(result: JobResult, error: unknown): JobResult {
    const fault = machineFault(error, this.#services.workspaces.root, "state-dir");
    if (fault !== null) return this.#givenBack(fault, true);
    return { ...result, outcome: "failed", error: errorText(error) };
  }

  /** A job that is ended meanwhile ends as one whose process was. */
  #settle(settle: NonNullable<Launch["settle"]>, end: ProcessEnd, result: JobResult): void {
    this.#isSettling = true;
    const before = this.#earlyEnd;
    const finish = (settled: JobResult): void => {
      const reason = this.#earlyEnd === before ? null : this.#earlyEnd;
      if (reason === "leaseLost") this.#log?.discard();
      this.#finish(reason === null ? settled : resultOfEnd(this.#ended, reason));
    };
    Promise.resolve()
      .then(() => settle(result, end))
      .then(finish, (error) => finish(this.#unkept(result, error)));
  }

  /** The result is noted before it is offered, and offered when the output is with the server. */
  #finish(result: JobResult | null): void {
    const { journal, workspaces } = this.#services;
    this.#isOver = true;
    this.#launched?.release?.();
    if (this.#context !== null) workspaces.giveBack(this.#context.workspace);
    const log = this.#log;
    if (result === null) {
      log?.close(() => {});
      log?.flush();
      journal.done([this.job]);
      this.#events.onFinished(this, null);
    } else if (log === null) {
      journal.finished(result, []);
      this.#events.onFinished(this, result);
    } else {
      const chunks = log.close(() => this.#events.onFinished(this, result));
      journal.finished(result, chunks);
      log.flush();
    }
  }
}
