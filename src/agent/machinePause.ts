/**
 * The time in which an agent takes no jobs because its machine is at fault. Where it can be tried without a job whether
 * that has passed, each pause is twice as long as the one before, and the last one ends when it has. On a full disk room
 * is made of what can be had again.
 */
import type { AgentLog } from "./agentLog.ts";
import type { MakeRoom } from "./diskRoom.ts";
import { canWriteIn, folderState, type MachineBusyError } from "./machineFault.ts";

/** Every pause for a process that the system refused: the next job may well be started. */
const FIRST_PAUSE_MS = 1_000;
/** Longest pause. A fault that comes this long after the last one, or after a job was started, is a new one. */
const MAX_PAUSE_MS = 60_000;

export interface MachinePauseOptions {
  readonly log: AgentLog;
  /** The pause has ended. */
  readonly onOver: () => void;
  /** Tried where a disk is still full after a pause. */
  readonly makeRoom?: MakeRoom;
  /** First pause; default one second. */
  readonly firstPauseMs?: number;
}

export class MachinePause {
  readonly #options: MachinePauseOptions;
  readonly #firstPauseMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #fault: MachineBusyError | null = null;
  #pauseMs: number;
  #overAtMs = Number.NEGATIVE_INFINITY;
  #isTold = false;
  #isStopped = false;

  constructor(options: MachinePauseOptions) {
    this.#options = options;
    this.#firstPauseMs = options.firstPauseMs ?? FIRST_PAUSE_MS;
    this.#pauseMs = this.#firstPauseMs;
  }

  /** Nothing is to be claimed or begun now. */
  get isOn(): boolean {
    return this.#fault !== null;
  }

  /** Something of the machine's was wrong. Several faults of one time are one. */
  begin(fault: MachineBusyError): void {
    if (this.#fault !== null || this.#isStopped) return;
    if (performance.now() - this.#overAtMs > MAX_PAUSE_MS) this.#pauseMs = this.#firstPauseMs;
    if (!this.#isTold) {
      const where = fault.folder === null ? {} : { folder: fault.folder };
      const fields = { error: fault.message, ...where };
      this.#options.log.warn(
        "the machine is at fault; jobs go back and none are taken until it is over",
        fields,
      );
    }
    this.#isTold = true;
    this.#wait(fault);
  }

  /** A job was started: the machine works, and the next pause is a first one. */
  jobStarted(): void {
    if (!this.#isTold || this.isOn) return;
    this.#pauseMs = this.#firstPauseMs;
    this.#isTold = false;
    this.#options.log.info("the machine is well again; jobs are taken as before");
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #wait(fault: MachineBusyError): void {
    this.#fault = fault;
    const canBeTried = fault.folder !== null || fault.isOver !== null;
    this.#timer = setTimeout(() => void this.#look(fault), canBeTried ? this.#pauseMs : this.#firstPauseMs);
    if (canBeTried) this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_PAUSE_MS);
  }

  async #look(fault: MachineBusyError): Promise<void> {
    const isOver = await this.#isOver(fault);
    if (this.#isStopped) return;
    if (!isOver) {
      this.#wait(fault);
      return;
    }
    this.#fault = null;
    this.#overAtMs = performance.now();
    this.#options.onOver();
  }

  async #isOver({ isOver, folder }: MachineBusyError): Promise<boolean> {
    if (isOver !== null) return isOver();
    if (folder === null) return true;
    const state = await folderState(folder);
    const { makeRoom } = this.#options;
    if (state !== "full" || makeRoom === undefined) return state === "writable";
    return (await makeRoom(folder)) && (await canWriteIn(folder));
  }
}
