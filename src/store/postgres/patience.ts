/** Tries again what a passing fault of the database stopped, for a time that a caller can wait. */
import { StoreUnavailableError } from "../../domain/errors.ts";
import { conflictTries, isPassing, unavailableReason } from "./faults.ts";

export interface Patience {
  /** How long faults of the database are waited out before they are told to the caller. */
  readonly patienceMs: number;
  /** True when nothing shall be waited for any more. */
  readonly isOver: () => boolean;
}

const RETRY_MS = 200;
/** Conflicts with other servers are over as soon as the other's commit is; doubled from try to try. */
const CONFLICT_PAUSE_MS = 4;

/** @param work must leave nothing behind when it fails */
export async function withPatience<T>(work: () => Promise<T>, patience: Patience): Promise<T> {
  const giveUpAt = performance.now() + patience.patienceMs;
  let conflicts = 0;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (conflicts < conflictTries(error)) {
        conflicts++;
        await Bun.sleep(Math.random() * CONFLICT_PAUSE_MS * 2 ** conflicts);
        continue;
      }
      const reason = unavailableReason(error);
      if (reason === null) throw error;
      if (!isPassing(error) || patience.isOver() || performance.now() + RETRY_MS > giveUpAt) {
        throw new StoreUnavailableError(`the database cannot be used now: ${reason}`);
      }
      await Bun.sleep(RETRY_MS);
    }
  }
}
