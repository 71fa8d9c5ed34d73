/**
 * The errors a request can meet, as values that hold what a user needs: what was wrong, where, and what
 * is allowed. Each dialect words them in one place; nothing else turns an error into a status code.
 */

/** One thing wrong with the input. `path` walks into it: `["jobs", 0, "taskId"]`. */
export interface InputIssue {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Kinds of thing that can be missing. */
export type EntityName = "job" | "project" | "task" | "worker" | "artifact" | "log";

/** The request is well-formed but asks for something that cannot be. */
export class InvalidInputError extends Error {
  override readonly name = "InvalidInputError";
  readonly issues: readonly InputIssue[];
  constructor(issues: readonly InputIssue[]) {
    super(issues.map((issue) => issue.message).join("; "));
    this.issues = issues;
  }
}

/** Nothing has that id. */
export class NotFoundError extends Error {
  override readonly name = "NotFoundError";
  readonly entity: EntityName;
  readonly ref: string;
  constructor(entity: EntityName, ref: string | number) {
    super(`no ${entity} has the id ${JSON.stringify(String(ref))}`);
    this.entity = entity;
    this.ref = String(ref);
  }
}

/** The state of the thing forbids what was asked; `allowed` says from which states it can be asked. */
export class ConflictError extends Error {
  override readonly name = "ConflictError";
  readonly entity: EntityName;
  readonly state: string | null;
  readonly allowed: readonly string[];
  constructor(message: string, detail: { entity: EntityName; state?: string; allowed?: readonly string[] }) {
    super(message);
    this.entity = detail.entity;
    this.state = detail.state ?? null;
    this.allowed = detail.allowed ?? [];
  }
}

/** Too much is queued in memory; nothing was done and the same request can be sent again. */
export class OverloadedError extends Error {
  override readonly name = "OverloadedError";
  readonly retryAfterMs: number;
  constructor(message: string, retryAfterMs: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The store cannot write or read now (disk full, read-only, gone); nothing was done. */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";
  readonly retryAfterMs: number;
  constructor(message: string, retryAfterMs = 1_000) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

export type DomainError =
  | InvalidInputError
  | NotFoundError
  | ConflictError
  | OverloadedError
  | StoreUnavailableError;

export function isDomainError(error: unknown): error is DomainError {
  return (
    error instanceof InvalidInputError ||
    error instanceof NotFoundError ||
    error instanceof ConflictError ||
    error instanceof OverloadedError ||
    error instanceof StoreUnavailableError
  );
}
