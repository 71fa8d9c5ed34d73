/** The schemas of logs: chunks in, text and pages out. */
import { z } from "zod";
import { LOG_STREAMS } from "../../../domain/job.ts";
import { MAX_LOG_SEQ } from "../../../engine/logPlace.ts";
import { attemptNumber, entityId, instant, time } from "./fields.ts";
import { workerId } from "./worker.ts";

/** Longest text of one chunk. */
const MAX_CHUNK_CHARACTERS = 1_048_576;
const seq = z.int().min(1).max(MAX_LOG_SEQ);

export const newLogChunks = z
  .strictObject({
    workerId,
    chunks: z
      .array(
        z.strictObject({
          id: entityId,
          attempt: attemptNumber,
          seq,
          time: instant,
          stream: z.enum(LOG_STREAMS),
          text: z.string().max(MAX_CHUNK_CHARACTERS, `expected at most ${MAX_CHUNK_CHARACTERS} characters`),
        }),
      )
      .max(10_000),
  })
  .meta({ id: "NewLogChunks" });
export const appended = z.object({ accepted: z.int().meta({ description: "Chunks that were new." }) });

export const logQuery = z.strictObject({
  attempt: attemptNumber.optional().meta({ description: "Absent: the latest attempt." }),
  stream: z.enum(LOG_STREAMS).optional(),
  tail: z.int().min(1).max(1_000_000).optional().meta({ description: "Only the last lines, this many." }),
  after: z.int().min(0).optional().meta({ description: "Only chunks after this `seq`." }),
  follow: z.boolean().default(false).meta({ description: "Go on until the job is final." }),
});
export const logHeaders = z.object({
  accept: z.string().optional(),
  "last-event-id": z
    .string()
    .regex(/^\d{1,15}$/, "expected the id of an event of this stream")
    .optional(),
});
export const logText = z.string();
export const logPage = z
  .object({
    items: z.array(
      z
        .object({ seq: z.int(), time, stream: z.enum(LOG_STREAMS), text: z.string() })
        .meta({ id: "LogChunk" }),
    ),
    next: z.int().meta({ description: "Pass as `after` for what follows." }),
  })
  .meta({ id: "LogPage" });
