/** Logs: taken from workers, given as text, as pages, or as a stream that follows the job. */
import type { Engine, LogFilter } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import type { JobWatch } from "../../jobWatch.ts";
import { defineRoute, type Route } from "../../route.ts";
import { Turns } from "../../turns.ts";
import { resolveJob } from "../jobReference.ts";
import { followLog, LOG_READS, logToEnd } from "../logReader.ts";
import { followedEvents, followedTexts, logTexts } from "../logStreams.ts";
import { jobPath } from "../schemas/job.ts";
import { appended, logHeaders, logPage, logQuery, logText, newLogChunks } from "../schemas/log.ts";
import { problems } from "../schemas/problem.ts";
import { definedOnly } from "../submission.ts";
import { chunkToWire } from "../wire.ts";

const TAGS = ["logs"];

/** Timers of a followed log. */
export interface FollowLimits {
  /** A comment is sent on a silent event stream this often, so that nothing between takes it for dead. */
  readonly keepAliveMs: number;
  /** The log is looked at this often even when no news came. */
  readonly safetyPollMs: number;
}

/** `/v1/logs` and `/v1/jobs/{job}/log`. */
export function logRoutes(engine: Engine, watch: JobWatch, limits: FollowLimits): Route[] {
  return [
    defineRoute({
      id: "appendLogs",
      method: "POST",
      access: "work",
      path: "/v1/logs",
      summary: "Add chunks of output",
      description: "`seq` counts from 1 within one attempt; chunks already held are skipped.",
      tags: TAGS,
      body: newLogChunks,
      responses: {
        200: { description: "how many were new", schema: appended },
        ...problems(404, 413, 415, 422, 503),
      },
      handler: async ({ body }) => {
        const chunks = body.chunks.map((chunk) => ({ ...chunk, time: Date.parse(chunk.time) }));
        return ok({ accepted: await engine.appendLog({ workerId: body.workerId, chunks }) });
      },
    }),
    readLog(engine, watch, limits),
  ];
}

function readLog(engine: Engine, watch: JobWatch, limits: FollowLimits): Route {
  const turns = new Turns(LOG_READS);
  return defineRoute({
    id: "readLog",
    method: "GET",
    path: "/v1/jobs/{job}/log",
    summary: "The output of a job",
    description:
      "Plain text by default. `Accept: application/json` gives one page of chunks. `follow=true` goes on until the job is final: as Server-Sent Events (one event per chunk, `id` = seq, `Last-Event-ID` resumes, the event `end` carries `state` and `exitCode`), or as text with `Accept: text/plain`.",
    tags: TAGS,
    params: jobPath,
    query: logQuery,
    headers: logHeaders,
    responses: {
      200: {
        description: "the log",
        schema: logText,
        contentType: "text/plain",
        alternatives: { "application/json": logPage, "text/event-stream": logText },
      },
      ...problems(404, 422, 503),
    },
    handler: async ({ params, query, headers, call }) => {
      const lastEventId = headers["last-event-id"];
      const filter: LogFilter = definedOnly({
        attempt: query.attempt,
        stream: query.stream,
        after: lastEventId === undefined ? query.after : Number(lastEventId),
        tailLines: lastEventId === undefined ? query.tail : undefined,
      });
      const form = formOf(headers.accept ?? "", query.follow);
      const ref = await resolveJob(engine.read, params.job);
      if (form === "json") {
        const page = await engine.read.log(ref, filter);
        return ok({ items: page.items.map(chunkToWire), next: page.next });
      }
      const job = await engine.read.job(ref);
      // A stream whose reader only wants the headers would never be read, nor ended.
      if (call.request.method === "HEAD") return new Response(null, form === "events" ? EVENTS : TEXT);
      if (!query.follow) {
        return new Response(logTexts(logToEnd(engine, turns, job.id, filter), call.stream()), TEXT);
      }
      const follow = (signal: AbortSignal) => followLog(engine, watch, turns, job.id, filter, limits, signal);
      if (form === "text") return new Response(followedTexts(follow, call.stream()), TEXT);
      return new Response(followedEvents(engine, job.id, follow, call.stream()), EVENTS);
    },
  });
}

const HEADERS = { "x-content-type-options": "nosniff", "cache-control": "no-store" };
const TEXT: ResponseInit = { headers: { ...HEADERS, "content-type": "text/plain; charset=utf-8" } };
const EVENTS: ResponseInit = {
  headers: { ...HEADERS, "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" },
};

function formOf(accept: string, isFollowing: boolean): "text" | "json" | "events" {
  if (accept.includes("text/event-stream") && isFollowing) return "events";
  if (accept.includes("application/json") && !isFollowing) return "json";
  return isFollowing && !accept.includes("text/plain") ? "events" : "text";
}
