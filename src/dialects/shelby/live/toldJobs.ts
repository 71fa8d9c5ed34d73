/** Jobs as the followers of a stream were told of them, to find those that changed unseen. The oldest are forgotten. */
import type { Job } from "../../../domain/job.ts";

const MAX_TOLD = 1_000;

export class ToldJobs {
  readonly #view: (job: Job) => unknown;
  readonly #told = new Map<number, { readonly text: string; readonly isFinal: boolean }>();

  constructor(view: (job: Job) => unknown) {
    this.#view = view;
  }

  /** Keeps a job as it is told; returns that. */
  remember(job: Job): unknown {
    const view = this.#view(job);
    const isFinal = job.state === "succeeded" || job.state === "failed" || job.state === "cancelled";
    this.#told.delete(job.id);
    this.#told.set(job.id, { text: JSON.stringify(view), isFinal });
    if (this.#told.size <= MAX_TOLD) return view;
    for (const oldest of this.#told.keys()) {
      this.#told.delete(oldest);
      break;
    }
    return view;
  }

  /** Says whether there is nothing to tell of this job. */
  isAsTold(job: Job): boolean {
    return this.#told.get(job.id)?.text === JSON.stringify(this.#view(job));
  }

  /** Ids of those that had not ended when they were told last. */
  get underWay(): readonly number[] {
    return [...this.#told].flatMap(([id, { isFinal }]) => (isFinal ? [] : [id]));
  }

  /** It is no more. */
  drop(id: number): void {
    this.#told.delete(id);
  }

  forget(): void {
    this.#told.clear();
  }
}
