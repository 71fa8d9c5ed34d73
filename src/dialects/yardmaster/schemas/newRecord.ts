/** The schema of something to be kept with a job. */
import { z } from "zod";
import { jsonObject, text } from "./fields.ts";

/** Something to be kept with a job. */
export const newRecord = z
  .strictObject({
    kind: text(100, 1).meta({ description: "What it is, in a word.", example: "usage" }),
    data: jsonObject,
  })
  .meta({ id: "NewRecord" });
