/** What decides whether a claim may have a job: what it asks for, and what the store knows of its worker. */
import { fits, type Resources } from "../domain/resources.ts";
import { matches, type Shape } from "../domain/shape.ts";
import type { ClaimRequest } from "./engine.ts";

/** The worker of a claim. */
export interface Claimant {
  readonly labels: Readonly<Record<string, string>>;
  /** What the whole worker has, however much its claim offers: agents claim ahead of slots that will be free. */
  readonly capacity: Resources | null;
}

/** Says whether the claim may have jobs of this shape, one at least; a worker without a claimant may have none. */
export function suits(shape: Shape, request: ClaimRequest, claimant: Claimant | null): boolean {
  if (claimant === null) return false;
  const { queues, kinds, capacity } = request;
  return (
    matches(shape, { queues, kinds, capacity, labels: claimant.labels }) &&
    (claimant.capacity === null || fits(shape.resources, claimant.capacity))
  );
}
