/** The engine's ids of jobs whose agents send many lines: looking them up each time would cost as much as a line. */
const MAX_REMEMBERED = 10_000;

export class RememberedIds {
  readonly #find: (jobId: string) => Promise<number>;
  /** The one used last at the end. */
  readonly #ids = new Map<string, number>();

  constructor(find: (jobId: string) => Promise<number>) {
    this.#find = find;
  }

  /** What is remembered may have been deleted since. */
  async find(jobId: string): Promise<{ readonly id: number; readonly isRemembered: boolean }> {
    const known = this.#ids.get(jobId);
    const id = known ?? (await this.#find(jobId));
    this.#ids.delete(jobId);
    this.#ids.set(jobId, id);
    for (const oldest of this.#ids.keys()) {
      if (this.#ids.size <= MAX_REMEMBERED) break;
      this.#ids.delete(oldest);
    }
    return { id, isRemembered: known !== undefined };
  }

  forget(jobId: string): void {
    this.#ids.delete(jobId);
  }
}
