/**
 * Shapes: what a worker must have to take a job. Jobs of one shape are interchangeable to a worker, and
 * there are few shapes even when there are millions of jobs, so a claim looks at shapes, not at jobs.
 */
import type { JobKind } from "./job.ts";
import { fits, type Resources } from "./resources.ts";
import { ANY_QUEUE } from "./worker.ts";

export interface Shape {
  readonly queue: string;
  readonly kind: JobKind;
  readonly resources: Resources;
  readonly requires: Readonly<Record<string, string>>;
}

/** What a claim offers. */
export interface Offer {
  readonly queues: readonly string[];
  readonly kinds: readonly JobKind[];
  readonly capacity: Resources;
  readonly labels: Readonly<Record<string, string>>;
}

/** Text that is equal for equal shapes and for no others. */
export function shapeKey(shape: Shape): string {
  const { cpu, accelerators, memoryMb } = shape.resources;
  const requires = Object.entries(shape.requires).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return JSON.stringify([shape.queue, shape.kind, cpu, accelerators, memoryMb, requires]);
}

/** Says whether a worker that offers this may take jobs of this shape, one at least. */
export function matches(shape: Shape, offer: Offer): boolean {
  return (
    fits(shape.resources, offer.capacity) &&
    offer.kinds.includes(shape.kind) &&
    (offer.queues.includes(shape.queue) || offer.queues.includes(ANY_QUEUE)) &&
    hasLabels(offer.labels, shape.requires)
  );
}

function hasLabels(
  labels: Readonly<Record<string, string>>,
  requires: Readonly<Record<string, string>>,
): boolean {
  for (const [key, value] of Object.entries(requires)) {
    if (labels[key] !== value) return false;
  }
  return true;
}
