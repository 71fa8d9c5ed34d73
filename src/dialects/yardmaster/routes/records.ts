/** `/v1/records` and `/v1/jobs/{job}/records`: what is kept with jobs besides their output and result. */
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { defineRoute, type Route } from "../../route.ts";
import { resolveJob } from "../jobReference.ts";
import { jobPath } from "../schemas/job.ts";
import { problems } from "../schemas/problem.ts";
import { newRecords, recordList, recordQuery, recordsKept } from "../schemas/record.ts";
import { definedOnly } from "../submission.ts";
import { recordToWire } from "../wire.ts";

const TAGS = ["records"];

/** The routes about records. */
export function recordRoutes(engine: Engine): Route[] {
  return [
    defineRoute({
      id: "addRecords",
      method: "POST",
      access: "work",
      path: "/v1/records",
      summary: "Keep records with jobs",
      description:
        "For a worker, of the jobs that it holds; others are passed over. A record that belongs to the end of a job goes with its result.",
      tags: TAGS,
      body: newRecords,
      responses: {
        200: { description: "how many were kept", schema: recordsKept },
        ...problems(413, 415, 422, 503),
      },
      handler: async ({ body: { workerId, records } }) => {
        const added = records.map(({ id, ...record }) => ({ ...record, job: id }));
        return ok({ accepted: await engine.addRecords({ workerId, records: added }) });
      },
    }),
    defineRoute({
      id: "listRecords",
      method: "GET",
      path: "/v1/jobs/{job}/records",
      summary: "What was kept with a job",
      tags: TAGS,
      params: jobPath,
      query: recordQuery,
      responses: { 200: { description: "the records", schema: recordList }, ...problems(404, 422) },
      handler: async ({ params, query }) => {
        const { order, limit, ...kind } = query;
        const filter = { order, limit, ...definedOnly(kind) };
        return ok({
          items: (await engine.read.records(await resolveJob(engine.read, params.job), filter)).map(
            recordToWire,
          ),
        });
      },
    }),
  ];
}
