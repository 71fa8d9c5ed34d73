import { afterAll, beforeAll } from "bun:test";
import { PostgresReads } from "../../src/store/postgres/postgresReads.ts";
import { PostgresStore } from "../../src/store/postgres/postgresStore.ts";
import { Cluster } from "../postgres/cluster.ts";
import { describeStore, type OpenStore } from "./storeConformance.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start("fsync=off");
});
afterAll(() => {
  cluster?.dispose();
});

async function open(url: string): Promise<OpenStore> {
  const store = await PostgresStore.open({ url });
  const reads = new PostgresReads({ url });
  const close = async () => {
    await reads.close();
    await store.close();
  };
  return {
    store,
    reads,
    beside: () => open(url),
    reopen: async () => {
      await close();
      return open(url);
    },
    dispose: close,
  };
}

describeStore("PostgreSQL", async () => open(await cluster.newDatabase()));
