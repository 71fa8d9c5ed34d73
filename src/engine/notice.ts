/**
 * What one server tells the others on the same store after a commit: which jobs became ready, and what changed.
 * A notice is as long as one announcement may be; a commit is told in several, up to a limit, beyond which the rest is
 * told as "look again".
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

/** Notices for one commit: about 3,500 jobs that change. */
const MAX_NOTICES = 32;

type JobEvent = Extract<EngineEvent, { type: "job" }>;
type WireReady = readonly (readonly [Shape, number])[] | null;
/** What many jobs of one commit have in common. */
type WireGroup = readonly [
  dialect: JobEvent["dialect"],
  kind: JobEvent["kind"],
  queue: string,
  projectId: number | null,
  from: JobEvent["from"],
  to: JobEvent["to"],
  time: number,
];
type WireEvent =
  | readonly [group: number, id: number, key: string, attempt: number, workerId: string | null]
  | readonly ["log", jobId: number, attempt: number, lastSeq: number]
  | readonly ["worker", id: string, state: Extract<EngineEvent, { type: "worker" }>["state"]];

interface WireNotice {
  readonly from: string;
  readonly ready: WireReady;
  readonly groups: readonly WireGroup[];
  /** Null is "maybe anything". */
  readonly news: readonly WireEvent[] | null;
}

/** The notices of one commit as texts, each within the length of an announcement; one at least. */
export function encodeNotices(
  serverId: string,
  readied: ReadonlyMap<Shape, number>,
  events: readonly EngineEvent[],
): readonly string[] {
  const ready = [...readied].map(([{ queue, kind, resources, requires }, count]) => {
    const shape: Shape = { queue, kind, resources, requires };
    return [shape, count] as const;
  });
  const notices: string[] = [];
  let notice = new NoticeText(serverId, ready);
  for (const event of events) {
    if (notice.add(event)) continue;
    notices.push(notice.text);
    const isLast = notices.length === MAX_NOTICES - 1;
    notice = new NoticeText(serverId, []);
    // One that does not fit into a notice of its own is too long for any.
    if (!isLast && notice.add(event)) continue;
    notice.addMissed();
    break;
  }
  notices.push(notice.text);
  return notices;
}

/** One notice, written an event at a time: so each is written once, however many notices they need. */
class NoticeText {
  readonly #head: string;
  /** Place of each group, by its text. */
  readonly #groups = new Map<string, number>();
  readonly #news: string[] = [];
  #isMissed = false;
  #bytes: number;

  constructor(serverId: string, ready: WireReady) {
    const headOf = (some: WireReady) => jsonOf({ from: serverId, ready: some }).slice(0, -1);
    const head = headOf(ready);
    this.#head = bytesOf(head) <= MAX_ANNOUNCEMENT_BYTES - EMPTY_TAIL_BYTES ? head : headOf(null);
    this.#bytes = bytesOf(this.#head) + EMPTY_TAIL_BYTES;
  }

  /** Says whether there was room for it. */
  add(event: EngineEvent): boolean {
    if (event.type === "resync") {
      this.addMissed();
      return true;
    }
    if (event.type !== "job") {
      const { type } = event;
      return this.#put(
        type === "log" ? [type, event.jobId, event.attempt, event.lastSeq] : [type, event.id, event.state],
      );
    }
    const { dialect, kind, queue, projectId, from, to, time, id, key, attempt, workerId } = event;
    const group = jsonOf([dialect, kind, queue, projectId, from, to, time] satisfies WireGroup);
    const known = this.#groups.get(group);
    const isAdded = this.#put(
      [known ?? this.#groups.size, id, key, attempt, workerId],
      known === undefined ? bytesOf(group) + 1 : 0,
    );
    if (isAdded && known === undefined) this.#groups.set(group, this.#groups.size);
    return isAdded;
  }

  #put(event: WireEvent, groupBytes = 0): boolean {
    const text = jsonOf(event);
    const bytes = this.#bytes + groupBytes + bytesOf(text) + 1;
    if (bytes > MAX_ANNOUNCEMENT_BYTES) return false;
    this.#bytes = bytes;
    this.#news.push(text);
    return true;
  }

  /** The rest is not told. */
  addMissed(): void {
    this.#isMissed = true;
  }

  get text(): string {
    const news = this.#isMissed ? "null" : `[${this.#news.join()}]`;
    return `${this.#head},"groups":[${[...this.#groups.keys()].join()}],"news":${news}}`;
  }
}

const EMPTY_TAIL_BYTES = ',"groups":[],"news":null}'.length;

/** A store may write this character as two, which a notice has no room for. */
function jsonOf(value: unknown): string {
  return JSON.stringify(value).replaceAll("\uFFFE", "\\ufffe");
}

function bytesOf(text: string): number {
  return Buffer.byteLength(text);
}

/** Reads a notice; one of another version that cannot be read is as good as one that was missed. */
export function decodeNotice(text: string): Notice {
  try {
    const { from, ready, groups, news }: WireNotice = JSON.parse(text);
    return {
      serverId: from,
      readied: ready === null ? null : new Map(ready),
      events: news === null ? null : news.map((event) => eventOf(event, groups)),
    };
  } catch {
    return MISSED_NOTICE;
  }
}

function eventOf(event: WireEvent, groups: readonly WireGroup[]): EngineEvent {
  if (event[0] === "log") {
    const [type, jobId, attempt, lastSeq] = event;
    return { type, jobId, attempt, lastSeq };
  }
  if (event[0] === "worker") {
    const [type, id, state] = event;
    return { type, id, state };
  }
  const [at, id, key, attempt, workerId] = event;
  const group = groups[at];
  if (group === undefined) throw new RangeError(`a notice without its group ${at}`);
  const [dialect, kind, queue, projectId, from, to, time] = group;
  return { type: "job", id, key, dialect, kind, queue, projectId, from, to, attempt, workerId, time };
}
