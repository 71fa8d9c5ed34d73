import { afterAll, beforeAll, test } from "bun:test";
import { Cluster } from "../postgres/cluster.ts";
import { killRounds } from "./killRounds.ts";
import { whatsnextRounds } from "./whatsnextRounds.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => cluster?.dispose());

test("two servers on one database, killed and paused at random like it and their agents, lose no job and run none twice", async () => {
  await killRounds(5, Date.now() % 1_000_000, {
    url: await cluster.newDatabase(),
    servers: 2,
    restart: () => {
      cluster.stopServer("immediate");
      cluster.startServer();
    },
  });
}, 120_000);

test("64 WhatsNext workers at two servers on one database never get a job twice while servers are killed", async () => {
  await whatsnextRounds({
    jobs: 1_000,
    kills: 2,
    timeoutMs: 90_000,
    shared: { url: await cluster.newDatabase(), servers: 2 },
  });
}, 120_000);
