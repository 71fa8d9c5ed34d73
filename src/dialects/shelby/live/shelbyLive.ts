/**
 * ShelbyCompute's live streams: the WebSockets `/ws/dashboard`, `/ws/jobs/{job_id}/logs` and `/ws/nodes`, and
 * `GET /api/frontend/stream-logs/{job_id}` as Server-Sent Events.
 *
 * Every WebSocket message is `{"type","seq","time","data"}`: first a `snapshot`, then changes. `?after=SEQ` goes on
 * after that message where the server still has what followed it.
 */
import { z } from "zod";
import { isFinal } from "../../../domain/stateMachine.ts";
import type { Engine } from "../../../engine/engine.ts";
import { defineRoute, type Route } from "../../route.ts";
import type { SocketConnection, SocketRoute } from "../../socket.ts";
import { errors } from "../schemas.ts";
import { readAfter } from "./after.ts";
import { type ChangeFollower, ChangeHub, type ChangeSource } from "./changeHub.ts";
import { DashboardSource } from "./dashboardSource.ts";
import { endIdOf, logEvents, readLastEventId } from "./eventStream.ts";
import { KeptBytes } from "./keptBytes.ts";
import { DEFAULT_LIVE_LIMITS, type LiveLimits } from "./liveLimits.ts";
import type { LiveViews } from "./liveViews.ts";
import type { LogBeginning, LogEntry, LogFollower } from "./logHub.ts";
import { LogHubs } from "./logHubs.ts";
import { NodesSource } from "./nodesSource.ts";
import { SocketFollower } from "./socketFollower.ts";

export interface ShelbyLiveOptions {
  readonly engine: Pick<Engine, "read" | "subscribe">;
  readonly views: LiveViews;
  /** What is absent is as in `DEFAULT_LIVE_LIMITS`. */
  readonly limits?: Partial<LiveLimits>;
  readonly clock?: () => number;
  /** Told of faults of the server itself. */
  readonly onFault?: (error: unknown) => void;
}

export interface ShelbyLive {
  readonly sockets: readonly SocketRoute[];
  readonly routes: readonly Route[];
  /** Ends what runs beside requests. */
  close(): void;
}

const TAGS = ["live"];
const EVENTS: ResponseInit = {
  headers: {
    "content-type": "text/event-stream; charset=utf-8",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  },
};
const jobPath = z.object({ job_id: z.string() });

/** Builds the live streams over one engine. */
export function shelbyLive(options: ShelbyLiveOptions): ShelbyLive {
  const { engine, views } = options;
  const limits: LiveLimits = { ...DEFAULT_LIVE_LIMITS, ...options.limits };
  const clock = options.clock ?? Date.now;
  const onFault = options.onFault ?? (() => {});
  const kept = new KeptBytes(limits.maxAllKeptBytes);
  const hubs = new LogHubs({ engine, views, limits, kept, clock, onFault });
  const hub = (source: ChangeSource) =>
    new ChangeHub({
      source,
      limits,
      kept,
      clock,
      onFault,
      subscribe: (listener) => engine.subscribe(listener),
    });
  const dashboard = hub(new DashboardSource({ read: engine.read, views, limits }));
  const nodes = hub(new NodesSource(views, limits));

  return {
    sockets: [
      { path: "/ws/dashboard", open: (connection) => followChanges(dashboard, connection) },
      { path: "/ws/nodes", open: (connection) => followChanges(nodes, connection) },
      { path: "/ws/jobs/{job_id}/logs", open: (connection) => followLog(hubs, connection) },
    ],
    routes: [
      handshakeOnly(
        "openDashboardSocket",
        "/ws/dashboard",
        "Follow the dashboard and every job that changes",
      ),
      handshakeOnly("openNodesSocket", "/ws/nodes", "Follow the nodes"),
      handshakeOnly("openLogSocket", "/ws/jobs/{job_id}/logs", "Follow the log of a job"),
      streamLogs(hubs, views, limits),
    ],
    close() {
      dashboard.close();
      nodes.close();
    },
  };
}

class ChangeSocket extends SocketFollower<null> implements ChangeFollower {
  readonly from: { readonly seq: number } | null;
  constructor(connection: SocketConnection) {
    super(connection);
    this.from = readAfter(connection.query);
  }
}

class LogSocket extends SocketFollower<LogEntry> implements LogFollower {
  readonly from: { readonly seq: number } | null;
  constructor(connection: SocketConnection) {
    super(connection);
    this.from = readAfter(connection.query);
  }

  beginWith({ text }: LogBeginning): void {
    this.begin(text);
  }
}

function followChanges(hub: ChangeHub, connection: SocketConnection): void {
  const follower = new ChangeSocket(connection);
  connection.onEnd = () => hub.leave(follower);
  hub.join(follower);
}

async function followLog(hubs: LogHubs, connection: SocketConnection): Promise<void> {
  const follower = new LogSocket(connection);
  let isGone = false;
  connection.onEnd = () => {
    isGone = true;
  };
  const leave = await hubs.join(connection.params.job_id ?? "", follower);
  if (isGone) leave();
  else connection.onEnd = leave;
}

/** For the OpenAPI document, and for those who come without a WebSocket handshake. */
function handshakeOnly(id: string, path: string, summary: string): Route {
  return defineRoute({
    id,
    method: "GET",
    path,
    summary: `${summary} (WebSocket)`,
    description:
      'Messages are `{"type","seq","time","data"}`: first `snapshot`, then changes; a `snapshot` that comes later counts alone from there on. `?after=SEQ` goes on after that message; `?access_token=` carries a token. Close codes: 4400 wrong request, 4401 no good key or token, 4403 its role does not reach as far, 4404 no such job, 4408 reader too slow, 4429 too many requests, 4503 not now.',
    tags: TAGS,
    responses: {
      101: { description: "the connection is a WebSocket from here on" },
      426: { description: "this is no WebSocket handshake", schema: z.object({ detail: z.string() }) },
    },
    handler: () =>
      Response.json(
        { detail: "This path is a WebSocket: open it with a WebSocket client" },
        { status: 426, headers: { upgrade: "websocket", connection: "Upgrade" } },
      ),
  });
}

function streamLogs(hubs: LogHubs, views: LiveViews, limits: LiveLimits): Route {
  return defineRoute({
    id: "streamShelbyLogs",
    method: "GET",
    path: "/api/frontend/stream-logs/{job_id}",
    summary: "Follow the log of a job (Server-Sent Events)",
    description:
      'The last 1,000 lines, then each new one, as `{"jobId","line","ts"}`; the event `end` with the status when the job has ended. `Last-Event-ID` goes on after that event, also after a restart of the server.',
    tags: TAGS,
    isEventStream: true,
    params: jobPath,
    headers: z.object({ "last-event-id": z.string().optional() }),
    responses: {
      200: { description: "the lines", schema: z.string(), contentType: "text/event-stream" },
      204: { description: "all was told before: do not come back" },
      ...errors(404, 503),
    },
    handler: async ({ params, headers, call }) => {
      const job = await views.findJob(params.job_id);
      const lastId = headers["last-event-id"];
      // A browser comes back by itself until it is told not to.
      if (lastId === endIdOf(job) && isFinal(job.state)) return new Response(null, { status: 204 });
      // A stream whose reader only wants the headers would never be read, nor ended.
      if (call.request.method === "HEAD") return new Response(null, EVENTS);
      const from = readLastEventId(lastId, job);
      const stream = call.stream();
      return new Response(logEvents({ hubs, job, from, stream, keepAliveMs: limits.keepAliveMs }), EVENTS);
    },
  });
}
