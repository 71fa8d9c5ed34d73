/** Starts store, engine and HTTP server of one process, from the settings in force. */
import { join, resolve } from "node:path";
import pino from "pino";
import { EXIT, ExitError } from "./exitCode.ts";
import { isLoopback, type ListenAddress, parseListenAddress } from "./listenAddress.ts";
import type { SettingValues } from "./settings.ts";
import { UsageError } from "./usageError.ts";

export interface OpenServer {
  readonly addresses: readonly (ListenAddress & { readonly url: string })[];
  /** Absolute. */
  readonly dataDir: string;
  /** Rejects when the engine cannot go on; pending as long as it can. */
  readonly failed: Promise<never>;
  /** Takes no more requests, finishes those under way, closes the store. */
  close(): Promise<void>;
}

/** @throws UsageError for addresses; DataDirError, PortInUseError, ListenError with words for the user */
export async function runServer(values: SettingValues): Promise<OpenServer> {
  const listen = values.listen.map(parseListenAddress);
  refuseOpenAddresses(listen, values.insecure);
  const dataDir = resolve(values.data);
  // Loaded here, so that commands that only speak to a server start fast.
  const [{ openEngine }, { openDirectoryBlobStore }, { startServer }] = await Promise.all([
    import("../engine/openEngine.ts"),
    import("../store/blobs/directoryBlobStore.ts"),
    import("../server/startServer.ts"),
  ]);
  const logger = pino({ name: "server", level: values.logLevel }, pino.destination({ dest: 2, sync: true }));
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const engine = await openEngine({
    dataDir,
    settings: {
      leaseMs: values.leaseMs,
      retainSucceededMs: values.retainSucceededMs,
      retainFailedMs: values.retainFailedMs,
      retainCancelledMs: values.retainCancelledMs,
    },
    onFatal: (message) => reject(new ExitError(EXIT.failed, `the store failed: ${message}`)),
  });
  try {
    const server = await startServer({
      engine,
      blobs: await openDirectoryBlobStore(join(dataDir, "artifacts")),
      listen,
      logger,
      limits: { maxBodyBytes: values.maxBodyBytes, maxArtifactBytes: values.maxArtifactBytes },
    });
    return {
      addresses: server.addresses,
      dataDir,
      failed,
      async close() {
        await server.close();
        await engine.close();
      },
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

function refuseOpenAddresses(listen: readonly ListenAddress[], isInsecure: boolean): void {
  const open = listen.find(({ host }) => !isLoopback(host));
  if (open === undefined || isInsecure) return;
  throw new UsageError(
    `--listen: ${open.host} can be reached from other machines, and there are no API keys yet: whoever reaches it can run ` +
      "commands on every agent. Listen on 127.0.0.1, or say --insecure if the network keeps strangers out",
  );
}
