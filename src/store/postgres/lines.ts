/**
 * Where jobs stand: in one row of `pending`, `ready` or `ended`; or in none of them while a worker holds them, which
 * their lease tells. Only who holds the job's own row changes these, so they are never waited for on their own.
 */
import type { JobState } from "../../domain/job.ts";
import { isFinal } from "../../domain/stateMachine.ts";
import { stateCode } from "../codes.ts";
import type { Head } from "../store.ts";
import { HOT_COLUMNS, type HotRow } from "./jobFacts.ts";
import type { Statements } from "./statements.ts";
import { numbers } from "./text.ts";

const READY = stateCode.encode("ready");
const WAITING = stateCode.encode("waiting");

/** What decides where a job stands. */
export interface Standing {
  readonly id: number;
  readonly state: JobState;
  readonly shapeId: number;
  readonly priority: number;
  readonly unmet: number;
  readonly runAt: number | null;
  readonly finishedAt: number | null;
}

type Place =
  | { readonly table: "ready"; readonly shapeId: number; readonly rank: number }
  | { readonly table: "pending"; readonly state: number; readonly dueAt: number | null }
  | { readonly table: "ended"; readonly state: number; readonly finishedAt: number | null }
  | { readonly table: "none" };

/** A place before every head. */
const LINE_BEGIN = [-Number.MAX_SAFE_INTEGER, 0] as const;

/** How often, and after which pause, a line is looked at that others hold whole. */
const MAX_HEAD_TRIES = 4;
const HEAD_PAUSE_MS = 3;
const MAX_COUNTED_AHEAD = 16;
/** Heads that are read at once without being asked for. */
const MAX_PAGE = 128;

interface Page {
  readonly untold: readonly HotRow[];
  /** The last head that was told. */
  readonly toldId: number | null;
  /** Nothing comes after these. */
  readonly isEnd: boolean;
  /** How many were read at once. */
  readonly size: number;
}

const HELD: Place = { table: "none" };

function placeOf(job: Standing): Place {
  switch (job.state) {
    case "ready":
      return { table: "ready", shapeId: job.shapeId, rank: rankOf(job.priority) };
    case "waiting":
    case "blocked": {
      const isTimed = job.state === "waiting" && job.unmet === 0;
      return { table: "pending", state: stateCode.encode(job.state), dueAt: isTimed ? job.runAt : null };
    }
    case "leased":
    case "running":
      return HELD;
    default:
      return isFinal(job.state)
        ? { table: "ended", state: stateCode.encode(job.state), finishedAt: job.finishedAt }
        : HELD;
  }
}

/** Not `-0`, which would be another number to compare with. */
function rankOf(priority: number): number {
  return priority === 0 ? 0 : -priority;
}

function isSame(a: Place, b: Place): boolean {
  switch (a.table) {
    case "none":
      return b.table === "none";
    case "ready":
      return b.table === "ready" && a.shapeId === b.shapeId && a.rank === b.rank;
    case "pending":
      return b.table === "pending" && a.state === b.state && a.dueAt === b.dueAt;
    case "ended":
      return b.table === "ended" && a.state === b.state && a.finishedAt === b.finishedAt;
  }
}

/** The lines as one transaction sees and changes them. */
export class Lines {
  readonly #statements: Statements;
  /** Where the store has the jobs that this transaction knows. */
  readonly #places = new Map<number, Place>();
  /** Rows of jobs as they stood when they were found in their line, unchanged since. */
  readonly #heads = new Map<number, HotRow>();
  /** How far each line was read, and what of it nobody was told of yet. */
  readonly #pages = new Map<number, Page>();
  #isContended = false;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  /** Whether it saw less of a line than there is, since others held the rest. */
  get isContended(): boolean {
    return this.#isContended;
  }

  /** Notes where a job stands, as it was just read. */
  know(job: Standing): void {
    if (!this.#places.has(job.id)) this.#places.set(job.id, placeOf(job));
  }

  /** The job's row, if it was read with its line and is still as it was. */
  head(id: number): HotRow | undefined {
    return this.#heads.get(id);
  }

  knows(id: number): boolean {
    return this.#places.has(id);
  }

  /** Puts jobs where their records say that they stand. */
  move(jobs: readonly Standing[]): void {
    const left: Record<Place["table"], { id: number; place: Place }[]> = emptyMoves();
    const entered: Record<Place["table"], { id: number; place: Place }[]> = emptyMoves();
    for (const job of jobs) {
      const from = this.#places.get(job.id) ?? HELD;
      const to = placeOf(job);
      this.#heads.delete(job.id);
      this.#places.set(job.id, to);
      if (isSame(from, to)) continue;
      left[from.table].push({ id: job.id, place: from });
      entered[to.table].push({ id: job.id, place: to });
    }
    this.#leave(left);
    this.#enter(entered);
  }

  /** The job is not there any more. */
  drop(ids: readonly number[]): void {
    const left = emptyMoves();
    for (const id of ids) {
      const place = this.#places.get(id) ?? HELD;
      left[place.table].push({ id, place });
      this.#places.delete(id);
      this.#heads.delete(id);
    }
    this.#leave(left);
  }

  #leave(left: Moves): void {
    if (left.ready.length > 0) {
      this.#statements.write(
        `DELETE FROM ready USING unnest($1::int[], $2::bigint[], $3::bigint[]) AS gone (shape_id, rank, id)
         WHERE ready.shape_id = ANY (ARRAY[gone.shape_id]) AND ready.rank = gone.rank AND ready.id = gone.id`,
        [shapesOf(left.ready), ranksOf(left.ready), idsOf(left.ready)],
      );
    }
    if (left.pending.length > 0) {
      this.#statements.write(
        `DELETE FROM pending USING unnest($1::smallint[], $2::bigint[]) AS gone (state, id)
         WHERE pending.state = ANY (ARRAY[gone.state]) AND pending.id = gone.id`,
        [statesOf(left.pending), idsOf(left.pending)],
      );
    }
    if (left.ended.length > 0) {
      this.#statements.write(
        `DELETE FROM ended USING unnest($1::smallint[], $2::bigint[]) AS gone (state, id)
         WHERE ended.state = ANY (ARRAY[gone.state]) AND ended.id = gone.id`,
        [statesOf(left.ended), idsOf(left.ended)],
      );
    }
  }

  #enter(entered: Moves): void {
    if (entered.ready.length > 0) {
      this.#statements.write(
        "INSERT INTO ready (shape_id, rank, id) SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[])",
        [shapesOf(entered.ready), ranksOf(entered.ready), idsOf(entered.ready)],
      );
    }
    if (entered.pending.length > 0) {
      this.#statements.write(
        `INSERT INTO pending (state, id, due_at) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[])`,
        [statesOf(entered.pending), idsOf(entered.pending), timesOf(entered.pending)],
      );
    }
    if (entered.ended.length > 0) {
      this.#statements.write(
        `INSERT INTO ended (state, id, finished_at) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[])`,
        [statesOf(entered.ended), idsOf(entered.ended), timesOf(entered.ended)],
      );
    }
  }

  /** Shapes that have ready jobs: one step along the index for each. */
  async readyShapeIds(): Promise<number[]> {
    const rows = await this.#statements.read<{ shape_id: number }>(`
      WITH RECURSIVE line AS (
        (SELECT shape_id FROM ready ORDER BY shape_id LIMIT 1)
        UNION ALL
        SELECT (SELECT next.shape_id FROM ready AS next WHERE next.shape_id > line.shape_id ORDER BY next.shape_id LIMIT 1)
        FROM line WHERE line.shape_id IS NOT NULL
      )
      SELECT shape_id FROM line WHERE shape_id IS NOT NULL`);
    return rows.map((row) => row.shape_id);
  }

  /**
   * Heads that no other transaction holds; they are held by this one from now on. Walks the index from its head, and
   * stops at the limit. The job's row is what is held: whoever changes a job holds it first. Where others hold all that
   * is left, they are given the time of a commit: their claims may not take all that they looked at.
   */
  async heads(shapeId: number, after: Head | null, limit: number): Promise<Head[]> {
    const before = this.#pages.get(shapeId);
    const isNext = before !== undefined && after !== null && before.toldId === after.id;
    let untold = isNext ? before.untold : [];
    let isEnd = isNext && before.isEnd;
    let size = isNext ? before.size : 0;
    if (untold.length < limit && !isEnd) {
      // Many claims take a line page by page: each look is twice as far as the one before.
      size = Math.max(limit, Math.min(2 * size, MAX_PAGE));
      const last = untold.at(-1);
      const place = last === undefined ? after : { id: last.id, priority: last.priority };
      const rows = await this.#lookAhead(shapeId, place, size);
      for (const row of rows) this.#heads.set(row.id, row);
      untold = [...untold, ...rows];
      isEnd = rows.length < size;
    }
    const told = untold.slice(0, limit);
    this.#pages.set(shapeId, { untold: untold.slice(limit), toldId: told.at(-1)?.id ?? null, isEnd, size });
    return told.map(({ id, priority }) => ({ id, priority }));
  }

  async #lookAhead(shapeId: number, after: Head | null, limit: number): Promise<readonly HotRow[]> {
    const from = after === null ? LINE_BEGIN : ([rankOf(after.priority), after.id] as const);
    for (let tries = 1; ; tries++) {
      // A short look is made along with the claim, which then takes one round trip also where the line is short.
      const [rows, counted] = await Promise.all([
        this.#takeHeads(shapeId, from, limit),
        limit <= MAX_COUNTED_AHEAD ? this.#count(shapeId, from, limit) : null,
      ]);
      const isShort =
        rows.length < limit && (counted ?? (await this.#count(shapeId, from, rows.length + 1))) > rows.length;
      if (rows.length === 0 && isShort && tries < MAX_HEAD_TRIES) {
        await Bun.sleep(HEAD_PAUSE_MS);
        continue;
      }
      if (isShort) this.#isContended = true;
      return rows;
    }
  }

  #takeHeads(shapeId: number, from: readonly [number, number], limit: number) {
    return this.#statements.lock<HotRow>(
      `SELECT held.* FROM (
         SELECT id, rank FROM ready WHERE shape_id = $1 AND (rank, id) > ($2::bigint, $3::bigint) ORDER BY rank, id
       ) AS line CROSS JOIN LATERAL (
         SELECT ${HOT_COLUMNS} FROM jobs WHERE jobs.id = line.id AND jobs.state = ${READY} FOR UPDATE SKIP LOCKED
       ) AS held
       ORDER BY line.rank, line.id LIMIT $4`,
      [shapeId, ...from, limit],
    );
  }

  /** How long the line is, whoever holds its jobs; `max` at the most. */
  async #count(shapeId: number, from: readonly [number, number], max: number): Promise<number> {
    const rows = await this.#statements.read<{ n: number }>(
      `SELECT count(*)::int AS n FROM (
         SELECT 1 FROM ready WHERE shape_id = $1 AND (rank, id) > ($2::bigint, $3::bigint)
         ORDER BY shape_id, rank, id LIMIT $4
       ) AS seen`,
      [shapeId, ...from, max],
    );
    return rows[0]?.n ?? 0;
  }

  /** Waiting jobs whose time has come and whom nobody holds, soonest first; held by this transaction from now on. */
  async due(now: number, limit: number): Promise<number[]> {
    const rows = await this.#statements.lock<{ id: number }>(
      `SELECT line.id FROM (
         SELECT id, due_at FROM pending WHERE due_at <= $1 AND due_at IS NOT NULL ORDER BY due_at, id
       ) AS line CROSS JOIN LATERAL (
         SELECT FROM jobs WHERE jobs.id = line.id AND jobs.state = ${WAITING} FOR UPDATE SKIP LOCKED
       ) AS held
       ORDER BY line.due_at, line.id LIMIT $2`,
      [now, limit],
    );
    return rows.map((row) => row.id);
  }

  async nextDueAt(): Promise<number | null> {
    const rows = await this.#statements.read<{ due_at: number }>(
      "SELECT due_at FROM pending WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1",
    );
    return rows[0]?.due_at ?? null;
  }

  /**
   * Jobs that ended long ago and whom nobody holds, oldest first; held by this transaction from now on. Their rows are
   * kept as those of heads are: who deletes them needs not read them again.
   */
  async finishedBefore(state: JobState, before: number, limit: number): Promise<number[]> {
    // Each final state has an index of its own, which is found by a state that stands in the statement.
    const code = stateCode.encode(state);
    const rows = await this.#statements.lock<HotRow>(
      `SELECT held.* FROM (
         SELECT id, finished_at FROM ended WHERE state = ${code} AND finished_at < $1 ORDER BY finished_at, id
       ) AS line CROSS JOIN LATERAL (
         SELECT ${HOT_COLUMNS} FROM jobs WHERE jobs.id = line.id AND jobs.state = ${code} FOR UPDATE SKIP LOCKED
       ) AS held
       ORDER BY line.finished_at, line.id LIMIT $2`,
      [before, limit],
    );
    for (const row of rows) this.#heads.set(row.id, row);
    return rows.map((row) => row.id);
  }
}

type Moves = Record<Place["table"], { id: number; place: Place }[]>;

function emptyMoves(): Moves {
  return { ready: [], pending: [], ended: [], none: [] };
}

function idsOf(moves: readonly { readonly id: number }[]): string {
  return numbers(moves.map(({ id }) => id));
}

function shapesOf(moves: Moves["ready"]): string {
  return numbers(moves.map(({ place }) => (place.table === "ready" ? place.shapeId : null)));
}

function ranksOf(moves: Moves["ready"]): string {
  return numbers(moves.map(({ place }) => (place.table === "ready" ? place.rank : null)));
}

function statesOf(moves: Moves["pending"]): string {
  return numbers(moves.map(({ place }) => ("state" in place ? place.state : null)));
}

function timesOf(moves: Moves["pending"]): string {
  return numbers(
    moves.map(({ place }) => {
      if (place.table === "pending") return place.dueAt;
      return place.table === "ended" ? place.finishedAt : null;
    }),
  );
}
