/**
 * What one server tells the others on the same store after a commit: which jobs became ready, and what changed.
 * A notice holds as much as fits one announcement; what does not fit is told as "look again".
 */
import type { Shape } from "../domain/shape.ts";
import { MAX_ANNOUNCEMENT_BYTES } from "../store/store.ts";
import type { EngineEvent } from "./engine.ts";

export interface Notice {
  /** Who tells it; null when that is not known. */
  readonly serverId: string | null;
  /** How many jobs of each shape became ready; null is "maybe any". */
  readonly readied: ReadonlyMap<Shape, number> | null;
  /** Null is "maybe anything". */
  readonly events: readonly EngineEvent[] | null;
}

/** What stands for announcements that did not arrive. */
export const MISSED_NOTICE: Notice = { serverId: null, readied: null, events: null };

interface WireNotice {
  readonly from: string;
  readonly ready: readonly (readonly [Shape, number])[] | null;
  readonly events: readonly EngineEvent[] | null;
}

/** The notice as text, within the length of an announcement. */
export function encodeNotice(
  serverId: string,
  readied: ReadonlyMap<Shape, number>,
  events: readonly EngineEvent[],
): string {
  const ready = [...readied].map(([{ queue, kind, resources, requires }, count]) => {
    const shape: Shape = { queue, kind, resources, requires };
    return [shape, count] as const;
  });
  // Long lists need not be written to be known as too long.
  const isLong = events.length > MAX_ANNOUNCEMENT_BYTES / 100;
  return (
    fitting({ from: serverId, ready, events: isLong ? null : events }) ??
    fitting({ from: serverId, ready, events: null }) ??
    JSON.stringify({ from: serverId, ready: null, events: null } satisfies WireNotice)
  );
}

function fitting(notice: WireNotice): string | null {
  const text = JSON.stringify(notice);
  return Buffer.byteLength(text) <= MAX_ANNOUNCEMENT_BYTES ? text : null;
}

/** Reads a notice; one of another version that cannot be read is as good as one that was missed. */
export function decodeNotice(text: string): Notice {
  try {
    const { from, ready, events }: WireNotice = JSON.parse(text);
    return { serverId: from, readied: ready === null ? null : new Map(ready), events };
  } catch {
    return MISSED_NOTICE;
  }
}
