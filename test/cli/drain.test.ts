/** Drained workers: the agent ends when its jobs have ended, and says so. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { YardmasterClient } from "@yardmaster/client";
import { eventually, Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
let url = "";
let client = new YardmasterClient();
beforeAll(async () => {
  url = (await scratch.start(["serve", "--data", "data"])).url;
  client = new YardmasterClient({ baseUrl: url });
});
afterAll(() => scratch.dispose());

const CLAIM = {
  queues: ["drained"],
  kinds: ["command" as const],
  capacity: { cpu: 1, accelerators: 0, memoryMb: 0 },
  max: 1,
};

async function startAgent(id: string) {
  const child = scratch.spawn(["agent", "--server", url, "--id", id, "--queue", id, "--state-dir", id]);
  await eventually("the worker is registered", () => client.worker(id).catch(() => null));
  return { child, output: new Response(child.stderr).text() };
}

describe("an agent whose worker is drained", () => {
  test("ends at once with 0 when it runs nothing, and says why", async () => {
    const { child, output } = await startAgent("idle");
    const drained = await scratch.run(["workers", "--server", url, "--drain", "idle"]);
    expect([drained.exitCode, drained.stderr]).toEqual([0, "worker idle is draining\n"]);
    const startedAt = performance.now();
    expect(await child.exited).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(await output).toContain("the server drains this worker");
  });

  test("finishes its job first, takes no other, and works again when it is started again", async () => {
    const { child } = await startAgent("busy");
    const script = `while [ ! -e ${scratch.folder}/go ]; do sleep 0.02; done; echo finished`;
    const job = await client.submit({ queue: "busy", spec: { argv: ["sh", "-c", script] } });
    await eventually("it runs", async () => ((await client.job(job.id)).state === "running" ? true : null));
    await client.drainWorker("busy");
    const later = await client.submit({ queue: "busy", spec: { argv: ["true"] } });
    expect(child.exitCode).toBeNull();
    await Bun.write(`${scratch.folder}/go`, "");
    expect(await child.exited).toBe(0);
    expect(await client.logText(job.id)).toBe("finished\n");
    expect((await client.job(job.id)).state).toBe("succeeded");
    expect((await client.job(later.id)).state).toBe("ready");
    await startAgent("busy");
    expect((await client.wait(later.id, { timeoutMs: 15_000 })).state).toBe("succeeded");
  });

  test("is not started again by `up`", async () => {
    const { url: own, child } = await scratch.start(["up", "--data", "own"]);
    const errors = new Response(child.stderr).text();
    const ownClient = new YardmasterClient({ baseUrl: own });
    const [worker] = await eventually("an agent", async () => {
      const workers = await ownClient.workers();
      return workers.length > 0 ? workers : null;
    });
    await ownClient.drainWorker(worker?.id ?? "");
    const job = await ownClient.submit({ spec: { argv: ["true"] } });
    await eventually("it is gone", async () => {
      const children = Bun.spawnSync(["pgrep", "-P", String(child.pid)]);
      return children.stdout.toString().trim() === "" ? true : null;
    });
    expect((await ownClient.job(job.id)).state).toBe("ready");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(await errors).toContain("the agent was drained and has ended");
  });
});

describe("a claim of a drained worker", () => {
  test("is answered with `draining` at once, also while it waits, until the worker registers again", async () => {
    const worker = { id: "w", queues: ["drained"], kinds: CLAIM.kinds, capacity: CLAIM.capacity };
    await client.registerWorker({ ...worker, name: "w", address: "w", labels: {} });
    const told: string[] = [];
    const claim = (waitMs: number) =>
      client.claim({ ...CLAIM, workerId: "w", waitMs }, { onDraining: () => told.push(`after ${waitMs}`) });
    expect(await claim(0)).toEqual([]);
    expect(told).toEqual([]);
    const startedAt = performance.now();
    const waiting = [claim(20_000), claim(20_001)];
    // The server has both once it has answered what came after them.
    for (let round = 0; round < 3; round++) await client.worker("w");
    await client.drainWorker("w");
    expect(await Promise.all(waiting)).toEqual([[], []]);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(told.sort()).toEqual(["after 20000", "after 20001"]);
    // It was told: claiming on is not answered faster than to others.
    const again = performance.now();
    expect(await claim(300)).toEqual([]);
    expect(performance.now() - again).toBeGreaterThan(250);
    expect(told).toContain("after 300");
    await client.submit({ queue: "drained", spec: { argv: ["true"] } });
    expect(await claim(0)).toEqual([]);
    expect(told).toContain("after 0");
    await client.registerWorker({ ...worker, name: "w", address: "w", labels: {} });
    expect(await claim(0)).toHaveLength(1);
  });

  test("is answered at once when it comes right after the draining", async () => {
    const worker = { id: "late", queues: ["none"], kinds: CLAIM.kinds, capacity: CLAIM.capacity };
    await client.registerWorker({ ...worker, name: "late", address: "late", labels: {} });
    await client.drainWorker("late");
    let isTold = false;
    const claim = { ...CLAIM, queues: ["none"], workerId: "late", waitMs: 20_000 };
    const startedAt = performance.now();
    await client.claim(claim, { onDraining: () => (isTold = true) });
    expect(isTold).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});
