/**
 * The thread of the engine and its store. It opens the store it is told, says
 * `ready` or why not, and then runs the calls that come.
 */
import { DataDirError } from "../../store/sqlite/dataDir.ts";
import type { EngineSettings } from "../engine.ts";
import { LocalEngine } from "../localEngine.ts";
import { callEngine } from "./engineCalls.ts";
import { openReads, openStore, type StorePlace } from "./openStore.ts";
import { RpcServer } from "./rpcServer.ts";

declare const self: Worker;

/** What the thread is told first. */
export interface EngineWorkerStart {
  readonly place: StorePlace;
  readonly settings: EngineSettings;
}

/** What the thread says first, and when the store turns out to be damaged or refuses writes. */
export type EngineWorkerNotice =
  | { readonly type: "ready" }
  | { readonly type: "refused"; readonly message: string }
  | { readonly type: "corrupt"; readonly message: string }
  /** The store begins to refuse writes, or with null takes them again. */
  | { readonly type: "writeFault"; readonly reason: string | null };

let server: RpcServer | undefined;

self.onmessage = async (event: MessageEvent<string | EngineWorkerStart>) => {
  if (typeof event.data === "string") {
    server?.receive(event.data);
    return;
  }
  try {
    server = await open(event.data);
    notify({ type: "ready" });
  } catch (error) {
    notify({ type: "refused", message: error instanceof DataDirError ? error.message : String(error) });
  }
};

async function open({ place, settings }: EngineWorkerStart): Promise<RpcServer> {
  const store = await openStore(place, (message) => notify({ type: "corrupt", message }));
  const engine = new LocalEngine({
    store,
    reads: await openReads(place),
    settings,
    onWriteFault: (reason) => notify({ type: "writeFault", reason }),
  });
  await engine.start();
  let unsubscribe: (() => void) | undefined;
  const rpc: RpcServer = new RpcServer(self, (method, args, context) => {
    switch (method) {
      case "subscribe":
        unsubscribe ??= engine.subscribe((events) => rpc.sendEvents(events));
        return Promise.resolve(null);
      case "unsubscribe":
        unsubscribe?.();
        unsubscribe = undefined;
        return Promise.resolve(null);
      default:
        return callEngine(engine, method, args, context);
    }
  });
  return rpc;
}

function notify(notice: EngineWorkerNotice): void {
  self.postMessage(notice);
}
