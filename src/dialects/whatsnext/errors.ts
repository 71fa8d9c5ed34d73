/** How WhatsNext words errors: as FastAPI does, with sentences of its own for what is absent or refused. */
import { type InputIssue, InvalidInputError, NotFoundError } from "../../domain/errors.ts";
import { detailAnswer, fastApiError } from "../fastApi/errors.ts";
import { AbsentError, notFoundText } from "./refusals.ts";

/** Turns any error into WhatsNext's answer; what it does not know becomes a 500 that tells nothing. */
export function errorAnswer(error: unknown): Response {
  if (error instanceof InvalidInputError) return detailAnswer(400, error.issues.map(sentence).join("; "));
  if (error instanceof AbsentError) return detailAnswer(404, error.detail);
  if (error instanceof NotFoundError) return detailAnswer(404, notFoundText(error.entity, error.ref));
  return fastApiError(error);
}

/** The engine's fields in WhatsNext's words. */
const FIELD_NAMES: Readonly<Record<string, string>> = {
  projectId: "project_id",
  taskId: "task_id",
  commandTemplate: "command_template",
  dependsOn: "depends",
};

/** `jobs[3].depends: no job has the id 77`. */
function sentence({ path, message }: InputIssue): string {
  let place = "";
  for (const step of path) {
    if (typeof step === "number") place += place === "" ? "" : `[${step}]`;
    else place += `${place === "" ? "" : "."}${FIELD_NAMES[step] ?? step}`;
    // `depends` is a map: a place in the engine's list of ids says nothing.
    if (step === "dependsOn") break;
  }
  return place === "" ? message : `${place}: ${message}`;
}
