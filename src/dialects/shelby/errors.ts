/** How ShelbyCompute words errors: as FastAPI does, with sentences of its own for what is absent or refused. */
import { NotFoundError } from "../../domain/errors.ts";
import { detailAnswer, fastApiError } from "../fastApi/errors.ts";
import { RefusedError } from "./refusals.ts";

/** Turns any error into ShelbyCompute's answer; what it does not know becomes a 500 that tells nothing. */
export function errorAnswer(error: unknown): Response {
  if (error instanceof RefusedError) return detailAnswer(400, error.detail);
  if (error instanceof NotFoundError) return detailAnswer(404, NOT_FOUND[error.entity] ?? "Not found");
  return fastApiError(error);
}

const NOT_FOUND: Readonly<Record<string, string>> = { job: "Job not found", worker: "Node not found" };
