/** Refusals in ShelbyCompute's own sentences, thrown where the sentence is known. */
import { InvalidInputError } from "../../domain/errors.ts";

/** What the state of things forbids: 400 with this sentence. */
export class RefusedError extends InvalidInputError {
  readonly detail: string;
  constructor(detail: string) {
    super([{ path: [], message: detail }]);
    this.detail = detail;
  }
}
