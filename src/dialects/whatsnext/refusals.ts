/** Refusals in WhatsNext's own sentences, thrown where the sentence is known. */
import { type EntityName, InvalidInputError, NotFoundError } from "../../domain/errors.ts";

/**
 * The request breaks a rule or names something absent: 400 with this sentence, after the field's name where
 * one is given.
 */
export class RefusedError extends InvalidInputError {
  constructor(detail: string, field?: string) {
    super([{ path: field === undefined ? [] : [field], message: detail }]);
  }
}

/** What the path names is not there: 404 with this sentence. */
export class AbsentError extends NotFoundError {
  readonly detail: string;
  constructor(entity: EntityName, ref: string | number, detail: string) {
    super(entity, ref);
    this.detail = detail;
  }
}

const NAMES: Readonly<Record<EntityName, string>> = {
  project: "Project",
  task: "Task",
  job: "Job",
  worker: "Client",
  artifact: "Artifact",
  log: "Log",
};

/** `Project with id 999 not found.` */
export function notFoundText(entity: EntityName, ref: string | number): string {
  return `${NAMES[entity]} with id ${ref} not found.`;
}

/** What `read` finds, or null where nothing has that id. */
export async function orNull<T>(read: Promise<T>): Promise<T | null> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}
