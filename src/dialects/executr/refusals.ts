/** Refusals in Executr's own sentences, thrown where the sentence is known. */
import { InvalidInputError, NotFoundError } from "../../domain/errors.ts";

/** What an error's `context` holds. */
export type ErrorContext = Readonly<Record<string, string | number | readonly string[]>>;

/** The request breaks a rule: 400. */
export class RefusedError extends InvalidInputError {
  readonly context: ErrorContext;
  constructor(message: string, context: ErrorContext) {
    super([{ path: [], message }]);
    this.context = context;
  }
}

/** There is no such job, or it is not in the state that the call is about: 404. */
export class AbsentError extends NotFoundError {
  readonly detail: string;
  readonly context: ErrorContext;
  constructor(jobId: string, detail = "job not found", context: ErrorContext = {}) {
    super("job", jobId);
    this.detail = detail;
    this.context = { job_id: jobId, ...context };
  }
}
