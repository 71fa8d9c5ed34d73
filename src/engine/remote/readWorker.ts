/** The thread that reads: long lists and counts run here, and hold up neither requests nor commits. */
import { EngineReads } from "../engineReads.ts";
import { callReads } from "./engineCalls.ts";
import { openReads, type StorePlace } from "./openStore.ts";
import { RpcServer } from "./rpcServer.ts";

declare const self: Worker;

/** Calls that come while it is being opened wait for it. */
let server: Promise<RpcServer> | undefined;

self.onmessage = (event: MessageEvent<string | StorePlace>) => {
  const { data } = event;
  if (typeof data !== "string") {
    server = open(data);
    return;
  }
  server?.then((opened) => opened.receive(data));
};

async function open(place: StorePlace): Promise<RpcServer> {
  const store = await openReads(place);
  const reads = new EngineReads(store);
  return new RpcServer(self, async (method, args) => {
    if (method !== "close") return callReads(reads, method, args);
    await store.close();
    return null;
  });
}
