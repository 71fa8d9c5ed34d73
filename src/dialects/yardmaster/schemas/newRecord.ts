/** The schema of something to be kept with a job. */
import { z } from "zod";
import type { JsonObject } from "../../../domain/job.ts";
import { PROVENANCE } from "../../../domain/provenance.ts";
import { jsonObject, text } from "./fields.ts";

/** Something to be kept with a job. */
export const newRecord = z
  .strictObject({
    kind: text(100, 1).meta({ description: "What it is, in a word.", example: "usage" }),
    data: jsonObject,
  })
  .meta({ id: "NewRecord" });

/** What is wrong with a record that comes with a result, and where in it; null when nothing is. */
export function resultRecordFault(
  { kind, data }: { readonly kind: string; readonly data: JsonObject | null | undefined },
  workerId: string,
): { readonly path: readonly string[]; readonly message: string } | null {
  // Whoever reads provenance looks for the node's key under this name. Data that is no object was told of before.
  if (kind !== PROVENANCE || data?.nodeId === workerId) return null;
  return { path: ["data", "nodeId"], message: "expected the id of the worker that sends it" };
}
