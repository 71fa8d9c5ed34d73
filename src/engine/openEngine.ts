/** Opens the engine on its store: two threads, one that writes and one that reads. */
import { StoreUnavailableError } from "../domain/errors.ts";
import { DataDirError } from "../store/sqlite/dataDir.ts";
import { DEFAULT_ENGINE_SETTINGS, type Engine, type EngineEvent, type EngineSettings } from "./engine.ts";
import type { EngineWorkerNotice, EngineWorkerStart } from "./remote/engineWorker.ts";
import type { StorePlace } from "./remote/openStore.ts";
import { RemoteEngine } from "./remote/remoteEngine.ts";
import { RpcClient } from "./remote/rpcClient.ts";

export { DataDirError };

export interface OpenEngineOptions {
  readonly dataDir: string;
  /** Address of the PostgreSQL database that holds the jobs; absent or null is a file in the data directory. */
  readonly storeUrl?: string | null;
  readonly settings?: Partial<EngineSettings>;
  /** Called when the engine cannot go on: its thread ended, or the store is damaged. */
  readonly onFatal?: (message: string) => void;
  /** Called once with the reason when the store begins to refuse writes, and once with null when it takes them again. */
  readonly onWriteFault?: (reason: string | null) => void;
}

/** @throws DataDirError when the data directory or the database cannot be used; its message is for the user. */
export async function openEngine(options: OpenEngineOptions): Promise<Engine> {
  const settings: EngineSettings = { ...DEFAULT_ENGINE_SETTINGS, ...options.settings };
  const onFatal = options.onFatal ?? (() => {});
  const worker = new Worker(new URL("./remote/engineWorker.ts", import.meta.url).href);
  let writeFault: string | null = null;
  const onWriteFault = (reason: string | null) => {
    writeFault = reason;
    options.onWriteFault?.(reason);
  };
  const place: StorePlace = { dataDir: options.dataDir, storeUrl: options.storeUrl ?? null };
  await begin(worker, { place, settings }, onFatal, onWriteFault);
  const reader = new Worker(new URL("./remote/readWorker.ts", import.meta.url).href);
  reader.postMessage(place);

  const limits = {
    // Claims that wait count among the calls under way.
    maxCalls: settings.maxQueuedCommands + settings.maxWaitingClaims,
    maxBytes: settings.maxQueuedBytes,
  };
  const commands = new RpcClient(worker, {
    ...limits,
    onEvents: (events) => engine.deliver(events as readonly EngineEvent[]),
  });
  const reads = new RpcClient(reader, limits);
  let isClosing = false;
  const engine: RemoteEngine = new RemoteEngine({
    commands,
    reads,
    writeFault: () => writeFault,
    terminate: () => {
      isClosing = true;
      worker.terminate();
      reader.terminate();
    },
  });
  for (const [thread, client, name] of [
    [worker, commands, "engine"],
    [reader, reads, "reading"],
  ] as const) {
    const end = (why: string) => {
      if (isClosing) return;
      const message = `the ${name} thread ended: ${why}`;
      client.fail(message);
      onFatal(message);
    };
    thread.addEventListener("error", (event) => end(event.message));
    thread.addEventListener("close", () => end("it was closed"));
  }
  return engine;
}

/** Hands the thread its task and waits until the store is open. */
function begin(
  worker: Worker,
  start: EngineWorkerStart,
  onFatal: (message: string) => void,
  onWriteFault: (reason: string | null) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }: MessageEvent<string | EngineWorkerNotice>) => {
      if (typeof data === "string") return;
      switch (data.type) {
        case "ready":
          return resolve();
        case "refused":
          worker.terminate();
          return reject(new DataDirError(data.message));
        case "corrupt":
          return onFatal(data.message);
        case "writeFault":
          return onWriteFault(data.reason);
      }
    });
    worker.addEventListener("error", (event) =>
      reject(new StoreUnavailableError(`the engine thread could not start: ${event.message}`)),
    );
    worker.postMessage(start);
  });
}
