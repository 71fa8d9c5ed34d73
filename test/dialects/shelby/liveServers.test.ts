/** Live streams of several servers on one PostgreSQL: what one does, the followers of the other hear. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Cluster } from "../../postgres/cluster.ts";
import { startLive } from "./liveServer.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => {
  cluster?.dispose();
});

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `line ${from + n}`);

test("a log that is written through two servers is followed at both, whole and in order", async () => {
  const storeUrl = await cluster.newDatabase();
  await using here = await startLive({ storeUrl });
  await using there = await startLive({ storeUrl });
  await here.submit("j");
  await here.start("j");
  using atHere = here.listen("/ws/jobs/j/logs");
  using atThere = there.listen("/ws/jobs/j/logs");
  await Promise.all([atHere.first("snapshot"), atThere.first("snapshot")]);
  for (let at = 0; at < 2_000; at += 100)
    await (at % 200 === 0 ? here : there).log("j", ...numbered(at, at + 100));
  await there.finish("j");
  for (const listener of [atHere, atThere]) {
    expect((await listener.closed).code).toBe(1000);
    expect(listener.lines).toEqual(numbered(0, 2_000));
    expect(listener.messages.at(-1)?.type).toBe("end");
  }
  // A number of one server means nothing to the other: it begins anew.
  using again = there.listen(`/ws/jobs/j/logs?after=${atHere.messages[5]?.seq}`);
  await again.closed;
  expect(again.messages.map(({ type }) => type)).toEqual(["snapshot", "end"]);
  expect([...here.faults, ...there.faults]).toEqual([]);
});

test("jobs and nodes that change at one server are told at the other", async () => {
  const storeUrl = await cluster.newDatabase();
  await using here = await startLive({ storeUrl, live: { dashboardPauseMs: 100 } });
  await using there = await startLive({ storeUrl, live: { dashboardPauseMs: 100 } });
  using dashboard = there.listen("/ws/dashboard");
  using nodes = there.listen("/ws/nodes");
  await Promise.all([dashboard.first("snapshot"), nodes.first("snapshot")]);
  await here.submit("j");
  await here.start("j", "n1");
  await nodes.until("the node", (all) => all.some(({ data }) => data.nodeId === "n1"));
  await here.finish("j");
  await dashboard.until("the end of the job", (all) =>
    all.some(({ type, data }) => type === "job" && data.jobId === "j" && data.status === "finished"),
  );
  await dashboard.until("the figures", (all) =>
    all.some(({ type, data }) => type === "dashboard" && data.jobStats.finished === 1),
  );
  expect([...here.faults, ...there.faults]).toEqual([]);
});
