/** The schemas of what is kept with jobs: usage figures, provenance. */
import { z } from "zod";
import { PROVENANCE } from "../../../domain/provenance.ts";
import { attemptNumber, entityId, jsonObject, text, time } from "./fields.ts";
import { newRecord } from "./newRecord.ts";
import { workerId } from "./worker.ts";

export const newRecords = z
  .strictObject({
    workerId,
    records: z
      .array(
        newRecord
          .extend({ id: entityId, attempt: attemptNumber })
          .refine(({ kind }) => kind !== PROVENANCE, {
            path: ["kind"],
            message: `another kind than ${PROVENANCE}: that comes with a result (POST /v1/results)`,
          })
          .meta({ id: "NewJobRecord" }),
      )
      .max(1_000, "expected at most 1000 records"),
  })
  .meta({ id: "NewRecords" });
export const recordsKept = z.object({
  accepted: z.int().meta({ description: "Records that were kept: those of jobs that the worker holds." }),
});

export const recordQuery = z.strictObject({
  kind: text(100, 1).optional().meta({ example: "provenance" }),
  order: z.enum(["newest", "oldest"]).default("oldest"),
  limit: z.int().min(1).max(10_000).default(1_000),
});
export const recordList = z.object({
  items: z.array(
    z
      .object({
        seq: z.int(),
        attempt: z.int(),
        time,
        kind: z.string(),
        data: jsonObject,
      })
      .meta({ id: "JobRecord" }),
  ),
});
