import { afterAll, beforeAll, test } from "bun:test";
import { killRounds } from "../durability/killRounds.ts";
import { whatsnextRounds } from "../durability/whatsnextRounds.ts";
import { Cluster } from "../postgres/cluster.ts";

const ROUNDS = 50;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => cluster?.dispose());

test(`${ROUNDS} rounds of kills of two servers, their database and their agents lose no job and run none twice`, async () => {
  await killRounds(ROUNDS, Number(process.env.YARDMASTER_TEST_SEED ?? Date.now() % 1_000_000), {
    url: await cluster.newDatabase(),
    servers: 2,
    restart: () => {
      cluster.stopServer("immediate");
      cluster.startServer();
    },
  });
}, 600_000);

test("64 WhatsNext workers on 20 thousand jobs at two servers never get a job twice while servers are killed ten times", async () => {
  await whatsnextRounds({
    jobs: 20_000,
    kills: 10,
    timeoutMs: 480_000,
    shared: { url: await cluster.newDatabase(), servers: 2 },
  });
}, 600_000);
