/** Shapes, numbered once and kept in memory: there are few, and every job names one. */
import type { Database, Statement } from "bun:sqlite";
import { type Shape, shapeKey } from "../../domain/shape.ts";
import { kindCode } from "../codes.ts";
import { type ShapeRow, toShape } from "../rows.ts";
import type { StoredShape } from "../store.ts";

const COLUMNS = "id, queue, kind, cpu, accelerators, memory_mb, requires";
/** Kept shapes; beyond it the memory is emptied and filled again as shapes are asked for. */
const MAX_CACHED = 100_000;

export class ShapeTable {
  readonly #byId = new Map<number, StoredShape>();
  readonly #idByKey = new Map<string, number>();
  readonly #select: Statement<ShapeRow, [number]>;
  readonly #selectByKey: Statement<ShapeRow, [string]>;
  readonly #insert: Statement<ShapeRow, [string, string, number, number, number, number, string]> | null;

  constructor(db: Database, options: { readonly canWrite: boolean }) {
    this.#select = db.prepare(`SELECT ${COLUMNS} FROM shapes WHERE id = ?`);
    this.#selectByKey = db.prepare(`SELECT ${COLUMNS} FROM shapes WHERE shape_key = ?`);
    this.#insert = options.canWrite
      ? db.prepare(`
          INSERT INTO shapes (shape_key, queue, kind, cpu, accelerators, memory_mb, requires)
          VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING ${COLUMNS}`)
      : null;
  }

  get(id: number): StoredShape {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const row = this.#select.get(id);
    if (row === null) throw new RangeError(`the store has no shape ${id}, which a job names`);
    return this.#keep(toShape(row));
  }

  intern(shape: Shape): number {
    const key = shapeKey(shape);
    const known = this.#idByKey.get(key);
    if (known !== undefined) return known;
    const { cpu, accelerators, memoryMb } = shape.resources;
    const row =
      this.#selectByKey.get(key) ??
      this.#insert?.get(
        key,
        shape.queue,
        kindCode.encode(shape.kind),
        cpu,
        accelerators,
        memoryMb,
        JSON.stringify(shape.requires),
      );
    if (row === null || row === undefined) throw new Error("a shape could not be inserted");
    this.#keep(toShape(row));
    this.#idByKey.set(key, row.id);
    return row.id;
  }

  /** Numbers given in a transaction that failed are not there. */
  forget(): void {
    this.#byId.clear();
    this.#idByKey.clear();
  }

  #keep(shape: StoredShape): StoredShape {
    if (this.#byId.size >= MAX_CACHED) this.forget();
    this.#byId.set(shape.shapeId, shape);
    return shape;
  }
}
