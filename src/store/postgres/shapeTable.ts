/**
 * Shapes, numbered once and never changed or deleted, and so kept in memory: there are few, and every job names one.
 * New ones are written apart from the transaction that needs them: two servers that meet the same new shape do not
 * wait for each other's commits, and what is known here is never undone.
 */
import { type Shape, shapeKey } from "../../domain/shape.ts";
import { kindCode } from "../codes.ts";
import { type ShapeRow, toShape } from "../rows.ts";
import type { StoredShape } from "../store.ts";
import type { Parameter } from "./session.ts";
import { numbers, texts } from "./text.ts";

/** Runs a statement outside of any transaction under way. */
export type RunApart = <Row extends object>(
  statement: string,
  parameters: readonly Parameter[],
) => Promise<readonly Row[]>;

const COLUMNS = "id, queue, kind, cpu, accelerators, memory_mb, requires";
/** Kept shapes; beyond it the memory is emptied and filled again as shapes are asked for. */
const MAX_CACHED = 100_000;

export class ShapeTable {
  readonly #run: RunApart;
  readonly #byId = new Map<number, StoredShape>();
  readonly #idByKey = new Map<string, number>();

  constructor(run: RunApart) {
    this.#run = run;
  }

  /** Shapes of these numbers, in their order. */
  async list(ids: readonly number[]): Promise<StoredShape[]> {
    const unknown = [...new Set(ids)].filter((id) => !this.#byId.has(id));
    const read = new Map<number, StoredShape>();
    if (unknown.length > 0) {
      const rows = await this.#run<ShapeRow>(`SELECT ${COLUMNS} FROM shapes WHERE id = ANY($1::int[])`, [
        numbers(unknown),
      ]);
      for (const row of rows) read.set(row.id, this.#keep(toShape(row)));
    }
    return ids.map((id) => {
      const shape = read.get(id) ?? this.#byId.get(id);
      if (shape === undefined) throw new RangeError(`the store has no shape ${id}, which a job names`);
      return shape;
    });
  }

  /** Numbers of shapes, in their order; new ones are made. */
  async intern(shapes: readonly Shape[]): Promise<number[]> {
    const keys = shapes.map(shapeKey);
    const known = new Map<string, number>();
    const unknown = new Map<string, Shape>();
    for (const [index, key] of keys.entries()) {
      const id = this.#idByKey.get(key);
      const shape = shapes[index];
      if (id !== undefined) known.set(key, id);
      else if (shape !== undefined) unknown.set(key, shape);
    }
    if (unknown.size > 0) for (const [key, id] of await this.#make(unknown)) known.set(key, id);
    return keys.map((key) => {
      const id = known.get(key);
      if (id === undefined) throw new Error("a shape could not be inserted");
      return id;
    });
  }

  async #make(shapes: ReadonlyMap<string, Shape>): Promise<Map<string, number>> {
    const keys = [...shapes.keys()].sort();
    const ordered = keys.flatMap((key) => shapes.get(key) ?? []);
    await this.#run(
      `INSERT INTO shapes (shape_key, queue, kind, cpu, accelerators, memory_mb, requires)
       SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
       ON CONFLICT (shape_key) DO NOTHING`,
      [
        texts(keys),
        texts(ordered.map(({ queue }) => queue)),
        numbers(ordered.map(({ kind }) => kindCode.encode(kind))),
        numbers(ordered.map(({ resources }) => resources.cpu)),
        numbers(ordered.map(({ resources }) => resources.accelerators)),
        numbers(ordered.map(({ resources }) => resources.memoryMb)),
        texts(ordered.map(({ requires }) => JSON.stringify(requires))),
      ],
    );
    const rows = await this.#run<ShapeRow & { shape_key: string }>(
      `SELECT shape_key, ${COLUMNS} FROM shapes WHERE shape_key = ANY($1::text[])`,
      [texts(keys)],
    );
    const made = new Map<string, number>();
    for (const row of rows) {
      this.#keep(toShape(row));
      this.#idByKey.set(row.shape_key, row.id);
      made.set(row.shape_key, row.id);
    }
    return made;
  }

  #keep(shape: StoredShape): StoredShape {
    if (this.#byId.size >= MAX_CACHED) {
      this.#byId.clear();
      this.#idByKey.clear();
    }
    this.#byId.set(shape.shapeId, shape);
    return shape;
  }
}
