/** Starts store, engine and HTTP server of one process, from the settings in force. */
import { resolve } from "node:path";
import pino from "pino";
import type { AccessOptions } from "../server/startServer.ts";
import { blobPlaceOf } from "./blobPlace.ts";
import { EXIT, ExitError } from "./exitCode.ts";
import { isLoopback, type ListenAddress, parseListenAddress } from "./listenAddress.ts";
import type { SettingValues } from "./settings.ts";
import { UsageError } from "./usageError.ts";

export interface OpenServer {
  readonly addresses: readonly (ListenAddress & { readonly url: string })[];
  /** Absolute. */
  readonly dataDir: string;
  /** Whether requests need a key, as it was at the start. */
  readonly hasKeys: boolean;
  /** A key of the role `work` that this process made for its own agent; it is written nowhere. */
  readonly agentKey: string;
  /** Rejects when the engine cannot go on; pending as long as it can. */
  readonly failed: Promise<never>;
  /** Takes no more requests, finishes those under way, closes the store. */
  close(): Promise<void>;
}

/** @throws UsageError for addresses; DataDirError, KeyFileError, PortInUseError, ListenError with words for the user */
export async function runServer(values: SettingValues): Promise<OpenServer> {
  const listen = values.listen.map(parseListenAddress);
  const outsideTokens = outsideTokensOf(values);
  const blobPlace = blobPlaceOf(values, process.env);
  const dataDir = resolve(values.data);
  // Loaded here, so that commands that only speak to a server start fast.
  const [
    { openEngine },
    { openBlobStore },
    { startServer },
    { whatsnextDialect },
    { executrDialect },
    { shelbyDialect },
    { newApiKey },
    keyFiles,
    { tokenSecretPath },
  ] = await Promise.all([
    import("../engine/openEngine.ts"),
    import("../store/blobs/openBlobStore.ts"),
    import("../server/startServer.ts"),
    import("../dialects/whatsnext/whatsnextDialect.ts"),
    import("../dialects/executr/executrDialect.ts"),
    import("../dialects/shelby/shelbyDialect.ts"),
    import("../server/access/apiKey.ts"),
    import("../server/access/keyFile.ts"),
    import("../server/access/tokenSecret.ts"),
  ]);
  const keyFile = keyFiles.keyFilePath(dataDir);
  const hasKeys =
    outsideTokens !== null || values.apiKeys.length > 0 || keyFiles.readKeyFile(keyFile).length > 0;
  if (!hasKeys && !values.insecure) refuseOpenAddresses(listen);
  const agentKey = newApiKey();
  const logger = pino({ name: "server", level: values.logLevel }, pino.destination({ dest: 2, sync: true }));
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const engine = await openEngine({
    dataDir,
    storeUrl: values.store,
    settings: {
      leaseMs: values.leaseMs,
      leaseMsByDialect: { executr: values.executrLeaseMs },
      retainSucceededMs: values.retainSucceededMs,
      retainFailedMs: values.retainFailedMs,
      retainCancelledMs: values.retainCancelledMs,
    },
    onWriteFault: (reason) => {
      if (reason === null) logger.warn("the store takes writes again");
      else logger.error({ reason }, "the store refuses writes: requests that would change something get 503");
    },
    onFatal: (message) => reject(new ExitError(EXIT.failed, `the store failed: ${message}`)),
  });
  try {
    const blobs = await openBlobStore({
      ...blobPlace,
      dataDir,
      onUnreachable: (reason) =>
        logger.warn(
          { reason },
          "the artifacts cannot be reached now: requests for them get 503 until they can",
        ),
    });
    if (values.store !== null && values.blobs === null) {
      logger.warn(
        { dataDir },
        "artifacts are kept in this server's data folder: other servers of its database do not have them; --blobs shares them",
      );
    }
    const shelby = shelbyDialect({
      engine,
      blobs,
      nodeTimeoutMs: values.shelbyNodeTimeoutMs,
      scriptGraceMs: values.shelbyScriptGraceMs,
      scriptKeepMs: values.shelbyScriptKeepMs,
      offerMs: values.shelbyOfferMs,
      requiresSignatures: values.requireSignatures,
      onFault: (error) => logger.error({ err: error }, "a live stream failed"),
    });
    const server = await startServer({
      engine,
      blobs,
      retainArtifactsMs: values.retainArtifactsMs,
      listen,
      logger,
      dialects: [
        whatsnextDialect({
          engine,
          queuedLeaseMs: values.whatsnextQueuedLeaseMs,
          runningLeaseMs: values.whatsnextRunningLeaseMs,
          clientLeaseMs: values.whatsnextClientLeaseMs,
        }),
        executrDialect({
          engine,
          leaseMs: values.executrLeaseMs,
          maxRecoveries: values.executrMaxRecoveries,
        }),
        shelby,
      ],
      limits: {
        maxBodyBytes: values.maxBodyBytes,
        maxArtifactBytes: values.maxArtifactBytes,
        maxTokenLifetimeMs: values.maxTokenLifetimeMs,
        maxOpenSockets: values.maxOpenSockets,
      },
      access: {
        configuredKeys: values.apiKeys,
        keyFile,
        ownKey: agentKey,
        allowedHosts: values.allowedHosts,
        rateLimitPerMinute: values.rateLimitPerMinute,
        cors: corsOf(values),
        tokenSecretFile: tokenSecretPath(dataDir),
        outsideTokens,
      },
    });
    return {
      addresses: server.addresses,
      dataDir,
      hasKeys,
      agentKey,
      failed,
      async close() {
        await server.close();
        shelby.close();
        await engine.close();
      },
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** How long browsers may keep the answer to a preflight. */
const CORS_MAX_AGE_SECONDS = 600;

function corsOf(values: SettingValues): NonNullable<AccessOptions["cors"]> | null {
  if (values.corsOrigins.length === 0) return null;
  return {
    origins: values.corsOrigins,
    methods: values.corsAllowMethods,
    headers: values.corsAllowHeaders,
    allowsCredentials: values.corsAllowCredentials,
    maxAgeSeconds: CORS_MAX_AGE_SECONDS,
  };
}

/** Null where no other issuer is named. */
function outsideTokensOf(values: SettingValues): NonNullable<AccessOptions["outsideTokens"]> | null {
  const { jwtIssuer: issuer, jwtAudience: audience, jwksUrl, jwtRoleClaim: roleClaim } = values;
  if (issuer === null && audience === null && jwksUrl === null) return null;
  if (issuer === null || audience === null || jwksUrl === null) {
    throw new UsageError(
      "--jwt-issuer, --jwt-audience and --jwks-url go together: without all three, tokens that were made for " +
        "somebody else would count here",
    );
  }
  return { issuer, audience, jwksUrl, roleClaim, clockSkewMs: values.jwtClockSkewMs };
}

function refuseOpenAddresses(listen: readonly ListenAddress[]): void {
  const open = listen.find(({ host }) => !isLoopback(host));
  if (open === undefined) return;
  throw new UsageError(
    `--listen: ${open.host} can be reached from other machines, and there are no API keys: whoever reaches it can run ` +
      "commands on every agent. Make a key with `yardmaster keys create --role admin`, listen on 127.0.0.1, or say " +
      "--insecure if the network keeps strangers out",
  );
}
