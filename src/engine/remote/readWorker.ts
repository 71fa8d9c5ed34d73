/** The thread that reads: long lists and counts run here, and hold up neither requests nor commits. */
import { SqliteReads } from "../../store/sqlite/sqliteReads.ts";
import { EngineReads } from "../engineReads.ts";
import { callReads } from "./engineCalls.ts";
import { RpcServer } from "./rpcServer.ts";

declare const self: Worker;

let server: RpcServer | undefined;

self.onmessage = (event: MessageEvent<string | { readonly dataDir: string }>) => {
  if (typeof event.data === "string") {
    server?.receive(event.data);
    return;
  }
  const store = new SqliteReads(event.data.dataDir);
  const reads = new EngineReads(store);
  server = new RpcServer(self, async (method, args) => {
    if (method !== "close") return callReads(reads, method, args);
    await store.close();
    return null;
  });
};
