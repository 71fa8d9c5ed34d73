/** What a program must know of a queue to be measured. One file beside this one implements it for each system. */

/** Payload of a measured job: enough to tell how long it was on its way. */
export interface Payload {
  /** Milliseconds since 1970, with fractions, when its submission began. */
  readonly sentAtMs: number;
}

export interface Queue {
  /** Adds one job; resolves when the system has acknowledged it. */
  add(payload: Payload): Promise<unknown>;
  /** Adds a batch in one call. */
  addMany(payloads: readonly Payload[]): Promise<unknown>;
  /** Starts one worker whose jobs do nothing but call `onJob`; resolves when it looks for jobs. */
  work(onJob: (payload: Payload) => void): Promise<{ stop(): Promise<unknown> }>;
  /** Jobs that have not ended, as the system's store knows. */
  remaining(): Promise<number>;
  close(): Promise<unknown>;
}

/** Now, as comparable between processes as the clock allows, in fractions of a millisecond. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
