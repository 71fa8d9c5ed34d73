/** The schema of `GET /v1/stats`. */
import { z } from "zod";
import { JOB_STATES } from "../../../domain/job.ts";
import { WORKER_STATES } from "../../../domain/worker.ts";

const rate = z.object({ m1: z.number(), m5: z.number(), m15: z.number() });
const jobsByState = z.record(z.enum(JOB_STATES), z.int());

export const stats = z
  .object({
    jobsByState,
    queues: z.array(z.object({ queue: z.string(), jobsByState })),
    workersByState: z.record(z.enum(WORKER_STATES), z.int()),
    rates: z.object({ submitted: rate, started: rate, finished: rate }).meta({
      description: "Events a second over the last 1, 5 and 15 minutes, of the server that answers.",
    }),
  })
  .meta({ id: "Stats" });
