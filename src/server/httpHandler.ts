/** From a request to an answer: find the route, let it check and answer, word what went wrong. */
import type { Logger } from "pino";
import type { Dialect } from "../dialects/dialect.ts";
import type { LiveStream } from "../dialects/liveStream.ts";
import { isRequestError, MethodNotAllowedError, PathNotFoundError } from "../dialects/requestErrors.ts";
import type { Access, BodyOptions, Call, JsonBody, LiveRequest, Role } from "../dialects/route.ts";
import { isDomainError } from "../domain/errors.ts";
import type { Cors } from "./access/cors.ts";
import { hasUrlToken, splitUrlToken } from "./access/credentials.ts";
import { RefusedSites, refuseForeignPage } from "./access/foreignPage.ts";
import type { Gate } from "./access/gate.ts";
import type { ServerLimits } from "./limits.ts";
import type { LiveRequests } from "./liveRequests.ts";
import { readJsonBody } from "./requestBody.ts";
import type { Router, Target } from "./router.ts";
import { RouteTimes } from "./routeTimes.ts";
import { type EndsSource, endsOf } from "./sockets/sendQueues.ts";

const NO_PARAMS: Readonly<Record<string, string>> = {};

/** What a server knows of the connections of its requests, and does to them. */
export interface Connections extends EndsSource {
  /** Closes it when nothing moves on it for so long. */
  timeout(request: Request, seconds: number): void;
}

export interface HttpHandlerOptions {
  readonly router: Router;
  readonly limits: ServerLimits;
  readonly live: LiveRequests;
  readonly logger: Logger;
  readonly gate: Gate;
  /** Null where pages of other sites may call nothing. */
  readonly cors: Cors | null;
}

export class HttpHandler {
  readonly #router: Router;
  readonly #limits: ServerLimits;
  readonly #live: LiveRequests;
  readonly #logger: Logger;
  readonly #gate: Gate;
  readonly #cors: Cors | null;
  readonly #refusedSites: RefusedSites;
  readonly #logsRequests: boolean;
  /** Requests that no route took. */
  readonly unmatched = new RouteTimes("other", "other");

  constructor(options: HttpHandlerOptions) {
    this.#router = options.router;
    this.#limits = options.limits;
    this.#live = options.live;
    this.#logger = options.logger;
    this.#gate = options.gate;
    this.#cors = options.cors;
    this.#refusedSites = new RefusedSites(options.logger);
    this.#logsRequests = options.logger.isLevelEnabled("debug");
  }

  /** Answers one request; never rejects. */
  readonly handle = (request: Request, connections: Connections): Promise<Response> =>
    this.#cors?.concerns(request)
      ? this.#answerPage(request, connections, this.#cors)
      : this.#answer(request, connections);

  async #answerPage(request: Request, connections: Connections, cors: Cors): Promise<Response> {
    const preflight = request.method === "OPTIONS" ? cors.preflight(request) : null;
    if (preflight !== null) {
      this.#refusedSites.note(request, cors);
      return preflight;
    }
    const response = await this.#answer(request, connections);
    cors.sign(request, response);
    return response;
  }

  async #answer(request: Request, connections: Connections): Promise<Response> {
    const startedAt = performance.now();
    const { method, url } = request;
    const pathAt = url.indexOf("/", 8);
    const queryAt = url.indexOf("?", pathAt);
    const path = queryAt === -1 ? url.slice(pathAt) : url.slice(pathAt, queryAt);
    const search = queryAt === -1 ? "" : url.slice(queryAt + 1);

    const match = this.#router.find(method, path);
    let times = this.unmatched;
    let response: Response;
    let dialect: Dialect | null = match?.dialect ?? null;
    let pattern: string | null = null;
    try {
      const call = new HttpCall(
        request,
        connections,
        path,
        search,
        this.#limits,
        this.#live,
        this.#cors,
        this.#gate,
      );
      const target = match === null ? null : choose(match.targets, match.values, call);
      if (target !== null) {
        times = target.times;
        dialect = target.dialect;
        pattern = target.route.path;
      }
      const urlToken = hasUrlToken(search) && isEventStream(request, target) ? call.takeUrlToken() : null;
      // Before anything is told, also whether the path exists.
      if (this.#gate.isClosed) {
        call.access = target?.access ?? "read";
        call.urlToken = urlToken;
        const admitted = this.#gate.admit(request, call.access, connections, urlToken);
        if (typeof admitted === "string") call.role = admitted;
        else ({ role: call.role, caller: call.tokenHolder } = await admitted);
      }
      if (match === null) throw new PathNotFoundError(path);
      if (match.targets.length === 0) throw new MethodNotAllowedError(method, match.allowed);
      if (target === null) throw new PathNotFoundError(path);
      if (target.isSentUnasked) refuseForeignPage(request, this.#cors);
      response = await target.route.handle(call);
    } catch (error) {
      dialect ??= this.#router.ownerOf(path);
      if (method === "OPTIONS") this.#refusedSites.note(request, this.#cors);
      if (!isRequestError(error) && !isDomainError(error)) {
        // A client that went away in the middle of its body is not a fault of the server.
        if (request.signal.aborted)
          this.#logger.debug({ method, path, err: error }, "request was broken off");
        else this.#logger.error({ method, path, err: error }, "request failed");
      }
      response = dialect.errors(error);
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    times.record(response.status, seconds);
    dialect?.observe?.({ method, pattern, status: response.status, seconds });
    if (this.#logsRequests) {
      this.#logger.debug({ method, path, status: response.status, ms: seconds * 1_000 }, "request");
    }
    return response;
  }
}

class HttpCall implements Call {
  readonly request: Request;
  readonly path: string;
  search: string;
  role: Role = "anonymous";
  tokenHolder: string | null = null;
  access: Access = "read";
  urlToken: string | null = null;
  params: Readonly<Record<string, string>> = NO_PARAMS;
  readonly #connections: Connections;
  readonly #limits: ServerLimits;
  readonly #live: LiveRequests;
  readonly #cors: Cors | null;
  readonly #gate: Gate;

  constructor(
    request: Request,
    connections: Connections,
    path: string,
    search: string,
    limits: ServerLimits,
    live: LiveRequests,
    cors: Cors | null,
    gate: Gate,
  ) {
    this.request = request;
    this.#connections = connections;
    this.path = path;
    this.search = search;
    this.#limits = limits;
    this.#live = live;
    this.#cors = cors;
    this.#gate = gate;
  }

  /** Takes the token out of the query. */
  takeUrlToken(): string | null {
    const { search, token } = splitUrlToken(this.search);
    this.search = search;
    return token;
  }

  caller(): string {
    return this.tokenHolder ?? this.#gate.callerOf(this.request, this.#connections);
  }

  readJson(options?: BodyOptions): Promise<JsonBody> {
    return readJsonBody(this.request, this.#limits, this.#cors, options);
  }

  live(): LiveRequest {
    return this.#live.enter(this.request);
  }

  stream(): LiveStream {
    const { request, access, role, urlToken } = this;
    // A second is the least there is.
    const cut = () => this.#connections.timeout(request, 1);
    const ends = endsOf(request, this.#connections);
    return this.#live.enterStream(request, ends, this.#gate.lasting(request, access, role, urlToken), cut);
  }
}

/** Browsers set this header for every event stream, and cannot set one for a key. */
function isEventStream(request: Request, target: Target | null): boolean {
  if (request.method !== "GET") return false;
  return (
    target?.route.isEventStream === true ||
    request.headers.get("accept")?.includes("text/event-stream") === true
  );
}

/** The first route that takes the call; leaves the call with that route's parameters. */
function choose(targets: readonly Target[], values: readonly string[], call: HttpCall): Target | null {
  for (const target of targets) {
    if (values.length > 0) {
      call.params = Object.fromEntries(
        target.parameterNames.map((name, place) => [name, decode(values[place] ?? "")]),
      );
    }
    if (target.route.matches === undefined || target.route.matches(call)) return target;
  }
  return null;
}

/** A text that is not rightly encoded stands for itself; nothing will have that name. */
function decode(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
