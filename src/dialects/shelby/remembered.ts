import { NotFoundError } from "../../domain/errors.ts";

/** Values kept in each half of a memory. */
const HALF = 10_000;

/**
 * A bounded memory of what is known of jobs that are spoken of often: looking them up each time would cost as much as
 * the call. What it tells may be out of date.
 *
 * In two halves: when the young one is full it becomes the old one, and what was the old one is forgotten. A map in
 * the order of use would walk along its deleted entries with every call.
 */
export class Remembered<Value> {
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();

  get(jobId: string): Value | undefined {
    const value = this.#young.get(jobId);
    if (value !== undefined) return value;
    const older = this.#old.get(jobId);
    if (older !== undefined) this.set(jobId, older);
    return older;
  }

  set(jobId: string, value: Value): void {
    if (this.#young.size >= HALF) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(jobId, value);
  }

  forget(jobId: string): void {
    this.#young.delete(jobId);
    this.#old.delete(jobId);
  }
}

/** The engine's ids of jobs, remembered. */
export class RememberedIds {
  readonly #ids = new Remembered<number>();
  readonly #find: (jobId: string) => Promise<number>;

  /** @param find looks an id up that is not remembered */
  constructor(find: (jobId: string) => Promise<number>) {
    this.#find = find;
  }

  set(jobId: string, id: number): void {
    this.#ids.set(jobId, id);
  }

  /**
   * Does something with the engine's id of a job; once more with the one that is looked up, where the job that was
   * remembered is gone: another may have its key by now.
   */
  async use<Result>(jobId: string, act: (id: number) => Promise<Result>): Promise<Result> {
    const known = this.#ids.get(jobId);
    if (known === undefined) return act(await this.#look(jobId));
    try {
      return await act(known);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      this.#ids.forget(jobId);
      return act(await this.#look(jobId));
    }
  }

  async #look(jobId: string): Promise<number> {
    const id = await this.#find(jobId);
    this.#ids.set(jobId, id);
    return id;
  }
}
