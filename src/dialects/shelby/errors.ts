/** How ShelbyCompute words errors: FastAPI's `{"detail": …}`, a sentence or, for 422, a list of faults. */
import { InvalidInputError, NotFoundError } from "../../domain/errors.ts";
import { JSON_HEADERS } from "../answers.ts";
import { errorAnswer as fastApiAnswer } from "../whatsnext/errors.ts";
import { RefusedError } from "./refusals.ts";

/** Turns any error into ShelbyCompute's answer; what it does not know becomes a 500 that tells nothing. */
export function errorAnswer(error: unknown): Response {
  if (error instanceof RefusedError) return answer(400, error.detail);
  if (error instanceof NotFoundError) return answer(404, NOT_FOUND[error.entity] ?? "Not found");
  if (error instanceof InvalidInputError) return answer(400, error.message);
  return fastApiAnswer(error);
}

const NOT_FOUND: Readonly<Record<string, string>> = { job: "Job not found", worker: "Node not found" };

function answer(status: number, detail: string): Response {
  return new Response(JSON.stringify({ detail }), { status, headers: JSON_HEADERS });
}
