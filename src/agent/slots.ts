/** What of the machine is free: counted amounts, and accelerators by index. */
import { add, fits, type Resources, subtract } from "../domain/resources.ts";

/** What one job was given, to be handed back. */
export interface Grant {
  readonly need: Resources;
  /** Indexes of its accelerators, ascending. */
  readonly accelerators: readonly number[];
}

export class Slots {
  readonly total: Resources;
  #free: Resources;
  readonly #freeAccelerators: number[];

  constructor(total: Resources) {
    this.total = total;
    this.#free = total;
    this.#freeAccelerators = Array.from({ length: total.accelerators }, (_, index) => index);
  }

  get free(): Resources {
    return this.#free;
  }

  /** Takes what a job needs, the lowest free accelerators first; null when it does not fit now. */
  take(need: Resources): Grant | null {
    if (!fits(need, this.#free)) return null;
    this.#free = subtract(this.#free, need);
    return { need, accelerators: this.#freeAccelerators.splice(0, need.accelerators) };
  }

  giveBack(grant: Grant): void {
    this.#free = add(this.#free, grant.need);
    if (grant.accelerators.length === 0) return;
    this.#freeAccelerators.push(...grant.accelerators);
    this.#freeAccelerators.sort((a, b) => a - b);
  }
}
