/** Points of a job's log: each is the end of a line, and a follower knows all up to one. */
export interface LogPoint {
  /** The chunk in which the line ended; see `engine/logPlace.ts`. */
  readonly place: number;
  /** Which of the lines that ended in this chunk it was, counted from 1. */
  readonly index: number;
}

/** Before the first line. */
export const LOG_START: LogPoint = { place: 0, index: 0 };

/** Says whether `point` stands after `other`. */
export function isAfter(point: LogPoint, other: LogPoint): boolean {
  return point.place > other.place || (point.place === other.place && point.index > other.index);
}

/** The earlier of two. */
export function earlier(one: LogPoint, other: LogPoint): LogPoint {
  return isAfter(one, other) ? other : one;
}
