/**
 * Starts the HTTP process: every API over one engine, on any number of addresses.
 *
 * ```ts
 * const server = await startServer({ engine, blobs, listen: [{ host: "127.0.0.1", port: 8000 }], logger });
 * console.log(server.addresses[0]?.url);
 * await server.close();
 * ```
 */
import type { Server } from "bun";
import type { Logger } from "pino";
import type { Dialect } from "../dialects/dialect.ts";
import { yardmasterDialect } from "../dialects/yardmaster/yardmasterDialect.ts";
import type { Engine } from "../engine/engine.ts";
import type { BlobStore } from "../store/blobs/blobStore.ts";
import { AllowedHosts, isLoopback } from "./access/allowedHosts.ts";
import type { ConfiguredKey } from "./access/apiKey.ts";
import { Cors, type CorsOptions } from "./access/cors.ts";
import { Gate } from "./access/gate.ts";
import { Keys } from "./access/keys.ts";
import { OutsideTokens, type OutsideTokensOptions } from "./access/outsideTokens.ts";
import { RateLimiter } from "./access/rateLimiter.ts";
import { newTokenSecret, openTokenSecret } from "./access/tokenSecret.ts";
import { Tokens } from "./access/tokens.ts";
import { ArtifactSweep } from "./artifactSweep.ts";
import { HttpHandler } from "./httpHandler.ts";
import { installationOf } from "./installation.ts";
import { DEFAULT_SERVER_LIMITS, type ServerLimits } from "./limits.ts";
import { formatAddress, type ListenAddress, listen } from "./listen.ts";
import { LiveRequests } from "./liveRequests.ts";
import { Metrics } from "./metrics.ts";
import { operationRoutes } from "./operationRoutes.ts";
import { Router } from "./router.ts";
import type { Connection } from "./sockets/connection.ts";
import { OpenStreams } from "./sockets/openStreams.ts";
import { Sockets } from "./sockets/sockets.ts";
import { tokenRoutes } from "./tokenRoutes.ts";
import { TouchedArtifacts } from "./touchedArtifacts.ts";

/** Who may call, and how often. What is absent restricts nobody. */
export interface AccessOptions {
  /** Keys from the settings. */
  readonly configuredKeys?: readonly ConfiguredKey[];
  /** The key file; changes of it are noticed. It need not be there. */
  readonly keyFile?: string | null;
  /** A key, role `work`, for the agent beside the server: made for this process, limited by nothing. */
  readonly ownKey?: string | null;
  /** Requests of one key, or without a key of one address; 0 is no limit. */
  readonly rateLimitPerMinute?: number;
  /**
   * Names, besides `localhost` and those listened on, under which a server without keys answers on a loopback
   * address; `*` is every name.
   */
  readonly allowedHosts?: readonly string[];
  /** The file of the secret that tokens are signed with, made when it is not there; null is a secret of this process. */
  readonly tokenSecretFile?: string | null;
  /** Another issuer whose tokens are taken; every request needs a key or a token then. Null is none. */
  readonly outsideTokens?: Omit<OutsideTokensOptions, "logger"> | null;
  /** Null is no page of another site. */
  readonly cors?: CorsOptions | null;
}

export interface StartServerOptions {
  readonly engine: Engine;
  readonly blobs: BlobStore;
  /** How long artifacts are kept that nothing names; absent or null is for ever. */
  readonly retainArtifactsMs?: number | null;
  /** At least one. All are opened, or none. */
  readonly listen: readonly ListenAddress[];
  readonly logger: Logger;
  /** What is absent is as in `DEFAULT_SERVER_LIMITS`. */
  readonly limits?: Partial<ServerLimits>;
  /** APIs beside Yardmaster's own; on a path that several have they are asked first. */
  readonly dialects?: readonly Dialect[];
  readonly access?: AccessOptions;
}

export interface BoundAddress extends ListenAddress {
  /** `http://host:port`, the port as it really is. */
  readonly url: string;
}

export interface RunningServer {
  readonly addresses: readonly BoundAddress[];
  /**
   * Takes no more requests, ends the long polls, streams and WebSockets, waits for the others up to
   * `closeTimeoutMs`, then cuts them off. The engine stays open.
   */
  close(): Promise<void>;
}

/** @throws PortInUseError, ListenError, KeyFileError; nothing is left open then */
export async function startServer(options: StartServerOptions): Promise<RunningServer> {
  const { engine, blobs, logger } = options;
  const limits: ServerLimits = { ...DEFAULT_SERVER_LIMITS, ...options.limits };
  const keepMs = options.retainArtifactsMs ?? null;
  const touched = new TouchedArtifacts(blobs, keepMs);
  const native = yardmasterDialect({
    touchArtifact: (sha256) => touched.touch(sha256),
    ...{ engine, blobs, ...limits },
    onKeyReplaced: (change) =>
      logger.warn(
        change,
        "a worker has another key than before: if nobody renewed it, somebody else uses its id",
      ),
  });
  const metrics = new Metrics(engine);
  const dialects: Dialect[] = [...(options.dialects ?? [])];
  const access = options.access ?? {};
  const secretFile = access.tokenSecretFile ?? null;
  const secret = secretFile === null ? newTokenSecret() : openTokenSecret(secretFile);
  const operations = operationRoutes({ engine, metrics, describedDialects: () => dialects });
  const keys = await Keys.open({
    configured: access.configuredKeys ?? [],
    filePath: access.keyFile ?? null,
    ownKey: access.ownKey ?? null,
    filePollMs: limits.keyFilePollMs,
    logger,
  });
  const issuer = access.outsideTokens ?? null;
  const tokens = new Tokens({
    secret,
    findBound: (binding) => keys.findBound(binding),
    outside: issuer === null ? null : new OutsideTokens({ ...issuer, logger }),
  });
  const { maxTokenLifetimeMs } = limits;
  const makingTokens = tokenRoutes({ keys, tokens, maxTokenLifetimeMs });
  dialects.push({ ...native, routes: [...native.routes, ...makingTokens, ...operations] });
  const limitPerMinute = access.rateLimitPerMinute ?? 0;
  const limiter =
    limitPerMinute === 0 ? null : new RateLimiter({ limitPerMinute, maxCallers: limits.maxLimitedCallers });
  const cors = access.cors === undefined || access.cors === null ? null : new Cors(access.cors);
  if (access.cors?.origins.includes("*") === true && !keys.isRequired && issuer === null) {
    logger.warn(
      "CORS: there are no API keys, so a page of any site that is opened in reach of this server can run jobs",
    );
  }
  if (access.cors?.allowsCredentials === true && access.cors.origins.includes("*")) {
    logger.warn("CORS: pages of every site may call, so none may use stored logins; name the sites instead");
  }

  const router = new Router(dialects);
  const streams = new OpenStreams(limits.maxOpenSockets, limits.maxAllSocketBufferBytes);
  const live = new LiveRequests(streams, limits);
  const gate = new Gate(keys, tokens, limiter);
  const handler = new HttpHandler({ router, limits, live, logger, gate, cors });
  const sockets = new Sockets({ dialects, limits, gate, cors, logger, streams });
  metrics.observeSockets(() => streams.size);
  metrics.observe([...router.targets.map((target) => target.times), handler.unmatched]);

  const hosts = new AllowedHosts([...(access.allowedHosts ?? []), ...options.listen.map(({ host }) => host)]);
  const serve = (request: Request, server: Server<Connection>): Promise<Response | undefined> => {
    const socket = sockets.find(request);
    return socket === null ? handler.handle(request, server) : sockets.accept(request, socket, server);
  };
  const guarded: typeof serve = (request, server) => {
    try {
      if (!keys.isRequired && !tokens.isRequired) hosts.check(request);
    } catch (error) {
      return Promise.resolve(router.ownerOf(pathOf(request)).errors(error));
    }
    return serve(request, server);
  };

  const servers: Server<Connection>[] = [];
  try {
    for (const address of options.listen) {
      servers.push(
        listen(address, {
          idleTimeoutMs: limits.idleTimeoutMs,
          // JSON bodies have their own, smaller limit, which is counted where they are read.
          maxRequestBodyBytes: longestBodyBytes(limits, router) + 1,
          fetch: isLoopback(address.host) ? guarded : serve,
          websocket: sockets.handler,
        }),
      );
    }
  } catch (error) {
    keys.close();
    sockets.closeAll();
    live.endAll();
    await Promise.all(servers.map((server) => server.stop(true)));
    throw error;
  }
  const addresses = servers.map((server, place) => boundAddress(server, options.listen[place]));
  const installation = () => installationOf(engine);
  const sweep =
    keepMs === null ? null : new ArtifactSweep({ blobs, reads: engine.read, installation, keepMs, logger });
  sweep?.start();
  let closing: Promise<void> | null = null;
  return {
    addresses,
    close: () => {
      keys.close();
      if (closing === null) for (const dialect of dialects) dialect.close?.();
      closing ??= Promise.all([closeAll(servers, live, sockets, limits.closeTimeoutMs), sweep?.stop()]).then(
        () => {},
      );
      return closing;
    },
  };
}

/** The path as it stands in the address: `URL` would make `/a/../b` another one. */
function pathOf({ url }: Request): string {
  return url.slice(url.indexOf("/", 8)).split("?", 1)[0] ?? "/";
}

function longestBodyBytes(limits: ServerLimits, router: Router): number {
  const ofRoutes = router.targets.map(({ route }) => route.maxBodyBytes ?? 0);
  return Math.max(limits.maxArtifactBytes, limits.maxBodyBytes, ...ofRoutes);
}

function boundAddress(server: Server<Connection>, asked: ListenAddress | undefined): BoundAddress {
  const host = asked?.host ?? server.hostname ?? "127.0.0.1";
  const port = server.port ?? asked?.port ?? 0;
  return { host, port, url: `http://${formatAddress({ host, port })}` };
}

async function closeAll(
  servers: readonly Server<Connection>[],
  live: LiveRequests,
  sockets: Sockets,
  timeoutMs: number,
): Promise<void> {
  const stopped = Promise.all(servers.map((server) => server.stop(false)));
  live.endAll();
  sockets.closeAll();
  const { promise: timedOut, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  await Promise.race([stopped, timedOut]);
  clearTimeout(timer);
  await Promise.all(servers.map((server) => server.stop(true)));
}
