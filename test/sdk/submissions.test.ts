/** Single submissions of one client that meet go together, and are to their callers as if they went alone. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NewJob, YardmasterClient, YardmasterError } from "@yardmaster/client";
import { openEngine } from "../../src/engine/openEngine.ts";
import { startTestServerWith } from "../server/testServer.ts";

async function startYard() {
  const dataDir = await mkdtemp(join(tmpdir(), "yardmaster-submissions-"));
  const engine = await openEngine({ dataDir });
  const server = await startTestServerWith(engine);
  const bodies: unknown[] = [];
  const client = new YardmasterClient({
    baseUrl: server.url,
    fetch: (url, init) => {
      if (init.method === "POST") bodies.push(JSON.parse(String(init.body)));
      return fetch(url, init);
    },
  });
  return {
    client,
    /** Bodies of the submissions, in the order in which they were sent. */
    bodies,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await engine.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

const named = (name: string) => ({ name, spec: { argv: ["/bin/true"] } });

test("fifty submissions at once are a few requests, and each gets its own job", async () => {
  await using yard = await startYard();
  const names = Array.from({ length: 50 }, (_, index) => `job ${index}`);
  const jobs = await Promise.all(names.map((name) => yard.client.submit(named(name))));
  expect(jobs.map((job) => job.name)).toEqual(names);
  expect(new Set(jobs.map((job) => job.id)).size).toBe(50);
  expect((await yard.client.jobs()).total).toBe(50);
  expect(yard.bodies.length).toBeLessThanOrEqual(8);
});

test("one after the other they go at once and alone", async () => {
  await using yard = await startYard();
  for (const name of ["a", "b"]) await yard.client.submit(named(name));
  expect(yard.bodies).toEqual([named("a"), named("b")]);
});

test("a job that is refused is told why by its own path, and its neighbours are created", async () => {
  await using yard = await startYard();
  const bad = { name: "bad", spec: { argv: [] } };
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) => yard.client.submit(index === 13 ? bad : named(`job ${index}`))),
  );
  const refused = outcomes.flatMap((outcome, index) => (outcome.status === "rejected" ? [index] : []));
  expect(refused).toEqual([13]);
  const reason = outcomes[13]?.status === "rejected" ? outcomes[13].reason : null;
  expect(reason).toBeInstanceOf(YardmasterError);
  expect(String(reason)).toContain("/spec/argv: ");
  expect(String(reason)).not.toMatch(/\/\d+\/spec/);
  expect((await yard.client.jobs()).total).toBe(19);
});

test("a job that names a neighbour means none of another caller's", async () => {
  await using yard = await startYard();
  const outcomes = await Promise.allSettled([
    ...Array.from({ length: 10 }, () => yard.client.submit(named("plain"))),
    yard.client.submit({ ...named("dependent"), dependsOn: ["#0"] }),
  ]);
  expect(outcomes.at(-1)?.status).toBe("rejected");
  expect((await yard.client.jobs()).total).toBe(10);
});

test("with a key or a signal of its own each is a request of its own", async () => {
  await using yard = await startYard();
  const { signal } = new AbortController();
  await Promise.all([
    ...Array.from({ length: 6 }, (_, index) =>
      yard.client.submit(named("a"), { idempotencyKey: `k${index}` }),
    ),
    ...Array.from({ length: 6 }, () => yard.client.submit(named("b"), { signal })),
  ]);
  expect(yard.bodies).toHaveLength(12);
});

test("what cannot be sent fails every one that went along", async () => {
  const client = new YardmasterClient({ baseUrl: "http://127.0.0.1:1", maxRetries: 0 });
  const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => client.submit(named("a"))));
  expect(outcomes.map(({ status }) => status)).toEqual(new Array(12).fill("rejected"));
});

test("what is no job fails its own caller, by a rejection, and nobody else, then or later", async () => {
  await using yard = await startYard();
  const silent = { ...named("silent"), toJSON: () => undefined };
  const circular: { labels: Record<string, string> } = { labels: {} };
  Object.assign(circular.labels, { circular });
  const nothing: NewJob = JSON.parse("null");
  const text: NewJob = JSON.parse('{"name":"text","spec":{"argv":["true"]},"dependsOn":"#0"}');
  const outcomes = await Promise.allSettled([
    yard.client.submit(named("first")),
    yard.client.submit(silent),
    yard.client.submit({ ...named("circular"), ...circular }),
    yard.client.submit(nothing),
    yard.client.submit(text),
    ...Array.from({ length: 20 }, () => yard.client.submit(named("other"))),
  ]);
  expect(outcomes.slice(0, 5).map(({ status }) => status)).toEqual([
    "fulfilled",
    ...new Array(4).fill("rejected"),
  ]);
  expect(outcomes.slice(5).map(({ status }) => status)).toEqual(new Array(20).fill("fulfilled"));
  expect((await yard.client.submit(named("last"))).name).toBe("last");
});
