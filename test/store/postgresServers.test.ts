/** Several engines on one database, and a database that fails under them. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import postgres from "postgres";
import { StoreUnavailableError } from "../../src/domain/errors.ts";
import type { Job } from "../../src/domain/job.ts";
import { type ClaimRequest, DEFAULT_ENGINE_SETTINGS, type EngineSettings } from "../../src/engine/engine.ts";
import { LocalEngine } from "../../src/engine/localEngine.ts";
import { StoreRefusedError } from "../../src/store/postgres/faults.ts";
import { PostgresReads } from "../../src/store/postgres/postgresReads.ts";
import { PostgresStore } from "../../src/store/postgres/postgresStore.ts";
import { newJob } from "../engine/testEngine.ts";
import { Cluster } from "../postgres/cluster.ts";
import { CutProxy } from "../postgres/cutProxy.ts";

let cluster: Cluster;
const opened: { close(): Promise<void> | void }[] = [];

beforeAll(async () => {
  cluster = await Cluster.start();
});
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});
afterAll(() => {
  cluster?.dispose();
});

function databaseOf(url: string): string {
  return new URL(url).pathname.slice(1);
}

async function openEngine(url: string, settings: Partial<EngineSettings> = {}): Promise<LocalEngine> {
  const store = await PostgresStore.open({ url, patienceMs: 20_000 });
  const reads = new PostgresReads({ url, patienceMs: 20_000 });
  const engine = new LocalEngine({ store, reads, settings: { ...DEFAULT_ENGINE_SETTINGS, ...settings } });
  opened.push(engine);
  await engine.start();
  return engine;
}

async function submit(engine: LocalEngine, ...jobs: Parameters<typeof newJob>[0][]): Promise<readonly Job[]> {
  return (await engine.submit({ jobs: jobs.map(newJob), idempotency: null })).jobs;
}

function claim(engine: LocalEngine, workerId: string, request: Partial<ClaimRequest> = {}) {
  return engine.claim({
    workerId,
    queues: ["*"],
    kinds: ["command"],
    capacity: { cpu: 1_000, accelerators: 0, memoryMb: 0 },
    max: 10,
    waitMs: 0,
    leaseMs: 30_000,
    ...request,
  });
}

async function finish(
  engine: LocalEngine,
  workerId: string,
  jobs: readonly Pick<Job, "id" | "attempt">[],
): Promise<number> {
  const answers = await engine.finish({
    workerId,
    results: jobs.map(({ id, attempt }) => ({
      id,
      attempt,
      outcome: "succeeded",
      exitCode: 0,
      error: null,
      result: null,
      startedAt: null,
    })),
  });
  return answers.filter(({ accepted }) => accepted).length;
}

/** Sends again what was not written, as agents and clients do. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreUnavailableError) || tries > 200) throw error;
      await Bun.sleep(50);
    }
  }
}

describe("several servers on one database", () => {
  test("give no job to two workers, and leave none behind", async () => {
    const url = await cluster.newDatabase();
    const engines = [await openEngine(url), await openEngine(url), await openEngine(url)];
    const total = 600;
    const given = new Map<number, string>();
    let accepted = 0;
    const submitting = Promise.all(
      engines.map(async (engine) => {
        for (let sent = 0; sent < total / engines.length; sent += 20) {
          await submit(engine, ...Array.from({ length: 20 }, () => ({ priority: sent % 3 })));
        }
      }),
    );
    const working = engines.flatMap((engine, server) =>
      [1, 2, 3].map(async (number) => {
        const workerId = `worker ${server}.${number}`;
        while (accepted < total) {
          const jobs = await claim(engine, workerId, { max: number, waitMs: 200 });
          for (const job of jobs) {
            expect(given.get(job.id)).toBeUndefined();
            given.set(job.id, workerId);
          }
          const finished = jobs.length === 0 ? 0 : await finish(engine, workerId, jobs);
          accepted += finished;
        }
      }),
    );
    await Promise.all([submitting, ...working]);
    expect(given.size).toBe(total);
    const stats = await engines[0]?.read.stats();
    expect(stats?.jobsByState).toMatchObject({ succeeded: total, ready: 0, leased: 0, running: 0 });
  });

  test("wake each other's waiting claims, and tell each other what happened", async () => {
    const url = await cluster.newDatabase();
    const [first, second] = [await openEngine(url), await openEngine(url)];
    const startedAt = performance.now();
    const waiting = claim(second, "w", { waitMs: 30_000 });
    const heard: string[] = [];
    second.subscribe((events) => {
      for (const event of events) if (event.type === "job") heard.push(`${event.from} to ${event.to}`);
    });
    await Bun.sleep(50);
    const [job] = await submit(first, {});
    expect((await waiting).map(({ id }) => id)).toEqual([job?.id ?? 0]);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(heard).toContain("null to ready");
  });

  test("keep dependencies together, whoever finishes what", async () => {
    const url = await cluster.newDatabase();
    const [first, second] = [await openEngine(url), await openEngine(url)];
    const needed = await submit(first, {}, {});
    const [last] = await submit(second, { dependsOn: needed.map(({ id }) => ({ job: id })) });
    expect(last?.state).toBe("waiting");
    const jobs = await claim(first, "w");
    expect(jobs).toHaveLength(2);
    await Promise.all([finish(first, "w", jobs.slice(0, 1)), finish(second, "w", jobs.slice(1))]);
    expect((await second.read.job(last?.id ?? 0)).state).toBe("ready");
  });

  test("know each other's leases: a worker goes on at another server", async () => {
    const url = await cluster.newDatabase();
    const [first, second] = [await openEngine(url), await openEngine(url)];
    await submit(first, {});
    const [job] = await claim(first, "w");
    if (job === undefined) throw new Error("no job was given");
    await first.close();
    const answer = await second.renew({
      workerId: "w",
      leases: [{ id: job.id, attempt: 1, progress: 0.5, started: true }],
    });
    expect(answer.renewed).toEqual([job.id]);
    expect(await finish(second, "w", [job])).toBe(1);
  });

  test("recover a lost lease once", async () => {
    const url = await cluster.newDatabase();
    const engines = [
      await openEngine(url, { maintenanceMs: 20 }),
      await openEngine(url, { maintenanceMs: 20 }),
    ];
    const [first] = engines as [LocalEngine];
    const [job] = await submit(first, { maxRecoveries: 5 });
    await claim(first, "lost", { leaseMs: 100 });
    const [again] = await claim(first, "next", { waitMs: 20_000 });
    expect(again).toMatchObject({ id: job?.id, attempt: 2 });
    const attempts = await first.read.attempts(job?.id ?? 0);
    expect(attempts.map(({ outcome }) => outcome)).toEqual(["timeout", null]);
  });

  test("add up what all of them counted", async () => {
    const url = await cluster.newDatabase();
    const [first, second] = [await openEngine(url), await openEngine(url)];
    await Promise.all([first, second].map((engine) => submit(engine, {}, { queue: "other" })));
    await Bun.sleep(1_500);
    await Promise.all([first, second].map((engine) => submit(engine, {})));
    expect(await first.read.count({})).toBe(6);
    expect(await second.read.count({ queue: "other" })).toBe(2);
  });

  test("that start at the same time bring the schema up once", async () => {
    const url = await cluster.newDatabase();
    await Promise.all([1, 2, 3, 4].map(() => openEngine(url)));
    const rows = await cluster.ask(databaseOf(url), "SELECT value FROM yardmaster.meta");
    expect(rows).toHaveLength(1);
  });
});

describe("a server with several commits at a time", () => {
  test("makes the jobs of a key once, in whichever commits its requests come", async () => {
    const engine = await openEngine(await cluster.newDatabase());
    const keys = Array.from({ length: 40 }, (_, index) => `key ${index}`);
    // So large that they go to one lane and to the other by turns.
    const answers = await Promise.all(
      [...keys, ...keys.toReversed()].map(async (key) => {
        const idempotency = { key, fingerprint: "same" };
        const { jobs } = await engine.submit({ jobs: [newJob()], idempotency }, 20_000);
        return [key, jobs.map((job) => job.id).join()] as const;
      }),
    );
    expect(new Set(answers.map((answer) => answer.join(": "))).size).toBe(keys.length);
    expect(await engine.read.count({})).toBe(keys.length);
  });

  test("takes keys in one order, so that two commits never wait for each other's", async () => {
    const url = await cluster.newDatabase();
    const engine = await openEngine(url);
    const sql = postgres(url, { max: 1, connection: { search_path: "yardmaster", lock_timeout: 300 } });
    opened.push({ close: () => sql.end() });
    await sql.unsafe("BEGIN; INSERT INTO idempotency VALUES ('a', 'other', '[]', 1)");
    const answers = ["b", "a"].map((key) =>
      engine.submit({ jobs: [newJob()], idempotency: { key, fingerprint: "same" } }),
    );
    for (let waiting = 0; waiting === 0; await Bun.sleep(10)) {
      waiting = (await sql`SELECT FROM pg_locks WHERE NOT granted`).length;
    }
    // Who waits for one key holds none that comes after it.
    await sql.unsafe("INSERT INTO idempotency VALUES ('b', 'other', '[]', 1)");
    await sql.unsafe("ROLLBACK");
    expect((await Promise.all(answers)).map(({ repeated }) => repeated)).toEqual([false, false]);
  });

  test("gives a worker that waits the job that was submitted, and takes its result after the claim", async () => {
    const engine = await openEngine(await cluster.newDatabase());
    const waiting = ["a", "b", "c"].map((id) => claim(engine, id, { max: 1, waitMs: 30_000 }));
    await submit(engine, {}, {}, {});
    const jobs = (await Promise.all(waiting)).flat();
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(3);
    for (const job of jobs) expect(await finish(engine, job.workerId ?? "", [job])).toBe(1);
  });
});

describe("a commit that is cut off", () => {
  for (const cut of ["before the commit arrives", "before its answer arrives"] as const) {
    test(`${cut} is made once`, async () => {
      const proxy = await CutProxy.start(await cluster.newDatabase());
      opened.push(proxy);
      const engine = await openEngine(proxy.url, { maintenanceMs: 3_600_000 });
      await submit(engine, { name: "before" });
      proxy.cutNext(cut);
      await submit(engine, { name: "cut off" });
      await submit(engine, { name: "after" });
      const { items } = await engine.read.jobs({}, { order: "oldest", limit: 10, cursor: null });
      expect(items.map(({ name }) => name)).toEqual(["before", "cut off", "after"]);
    });
  }

  test("a commit that a crash undid is not taken for a later one that was given its number", async () => {
    // Nothing is written to disk before a commit asks for it, as on a busy moment's wrong side.
    const crashing = await Cluster.start(
      "wal_writer_delay=10000",
      "autovacuum=off",
      "bgwriter_lru_maxpages=0",
    );
    try {
      const proxy = await CutProxy.start(await crashing.newDatabase());
      opened.push(proxy);
      const engine = await openEngine(proxy.url, { maintenanceMs: 600_000 });
      await submit(engine, { name: "before" });
      proxy.cutNext("before the commit arrives", async () => {
        crashing.stopServer("immediate");
        crashing.startServer();
        await crashing.ask(
          "postgres",
          "DO $$ BEGIN FOR i IN 1..500 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$",
        );
      });
      await submit(engine, { name: "cut off" });
      const { items } = await engine.read.jobs({}, { order: "oldest", limit: 10, cursor: null });
      expect(items.map(({ name }) => name)).toEqual(["before", "cut off"]);
    } finally {
      for (const one of opened.splice(0).reverse()) await one.close();
      crashing.dispose();
    }
  });

  test("a database that takes no writes is told as such by whichever command meets it first", async () => {
    const url = await cluster.newDatabase();
    const store = await PostgresStore.open({ url, patienceMs: 0 });
    opened.push(store);
    await cluster.ask("postgres", `ALTER DATABASE ${databaseOf(url)} SET default_transaction_read_only = on`);
    const refusal = store.transaction(async (tx) => {
      const held = await Promise.allSettled([tx.findProject({ id: 1 }), tx.findProject({ id: 2 })]);
      for (const one of held.reverse()) if (one.status === "rejected") throw one.reason;
    });
    await expect(refusal).rejects.toThrow("it is read-only");
  });
});

describe("a database that fails", () => {
  /** Workers and submitters that go on whatever happens; returns how to stop them and what was promised. */
  function load(engines: readonly LocalEngine[]) {
    const acknowledged = new Set<number>();
    const finished = new Map<number, number>();
    let isOver = false;
    let isSubmitted = false;
    const submitters = engines.map(async (engine) => {
      while (!isOver) {
        for (const job of await insist(() => submit(engine, {}, {}, {}))) acknowledged.add(job.id);
        await Bun.sleep(5);
      }
    });
    const workers = engines.flatMap((engine, server) =>
      [1, 2].map(async (number) => {
        const workerId = `worker ${server}.${number}`;
        // Jobs whose submission was not heard to be kept are run too: they do not count here.
        while (!isSubmitted || [...acknowledged].some((id) => !finished.has(id))) {
          const jobs = await insist(() => claim(engine, workerId, { max: 5, waitMs: 100, leaseMs: 3_000 }));
          if (jobs.length === 0) continue;
          const answers = await insist(() =>
            engine.finish({
              workerId,
              results: jobs.map(({ id, attempt }) => ({
                id,
                attempt,
                outcome: "succeeded",
                exitCode: 0,
                error: null,
                result: null,
                startedAt: null,
              })),
            }),
          );
          for (const answer of answers) {
            if (!answer.accepted || answer.isRepeated) continue;
            finished.set(answer.id, (finished.get(answer.id) ?? 0) + 1);
          }
          for (const { id } of jobs) if (!finished.has(id)) await noteIfDone(engine, id);
        }
      }),
    );
    /** Its result was written, and the answer was lost. */
    async function noteIfDone(engine: LocalEngine, id: number): Promise<void> {
      const { state } = await insist(() => engine.read.job(id));
      if (state === "succeeded" && !finished.has(id)) finished.set(id, 1);
    }
    return {
      acknowledged,
      finished,
      async end() {
        isOver = true;
        // A submission that is being tried again comes through while others find nothing left to do.
        await Promise.all(submitters);
        isSubmitted = true;
        await Promise.all(workers);
      },
    };
  }

  async function check(url: string, { acknowledged, finished }: ReturnType<typeof load>): Promise<void> {
    expect(acknowledged.size).toBeGreaterThan(0);
    expect([...finished.values()].filter((times) => times !== 1)).toEqual([]);
    const rows = await cluster.ask(databaseOf(url), "SELECT id, state FROM yardmaster.jobs ORDER BY id");
    const byId = new Map(rows.map(({ id, state }) => [Number(id), state]));
    for (const id of acknowledged) expect(byId.get(id)).toBe(4);
    // Where every job stands is told once.
    const [places] = await cluster.ask(
      databaseOf(url),
      `SELECT (SELECT count(*) FROM yardmaster.ready)::int AS ready, (SELECT count(*) FROM yardmaster.pending)::int AS pending,
         (SELECT count(*) FROM yardmaster.leases)::int AS leases, (SELECT count(*) FROM yardmaster.ended)::int AS ended`,
    );
    expect(places).toEqual({ ready: 0, pending: 0, leases: 0, ended: rows.length });
  }

  test("by ending connections at random loses nothing and does nothing twice", async () => {
    const url = await cluster.newDatabase();
    const engines = [await openEngine(url), await openEngine(url)];
    const running = load(engines);
    for (let round = 0; round < 30; round++) {
      await Bun.sleep(60);
      await cluster.ask(
        "postgres",
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '${databaseOf(url)}' AND random() < 0.5`,
      );
    }
    await running.end();
    await check(url, running);
  });

  test("by crashing and coming back loses nothing, and gives every lease its grace", async () => {
    const url = await cluster.newDatabase();
    const engines = [await openEngine(url), await openEngine(url)];
    const [engine] = engines as [LocalEngine];
    await submit(engine, { name: "held", queue: "held" });
    const [held] = await claim(engine, "holder", { queues: ["held"], leaseMs: 60_000 });
    const running = load(engines);
    for (let round = 0; round < 2; round++) {
      await Bun.sleep(300);
      cluster.stopServer(round === 0 ? "immediate" : "fast");
      await Bun.sleep(300);
      cluster.startServer();
    }
    await Bun.sleep(300);
    await running.end();
    expect(held).toBeDefined();
    if (held === undefined) return;
    const leases = async () => {
      const rows = await cluster.ask(databaseOf(url), "SELECT job_id FROM yardmaster.leases");
      return rows.map(({ job_id }) => Number(job_id));
    };
    const deadline = Date.now() + 20_000;
    // It may be the other server's turn.
    while ((await leases()).length === 0 && Date.now() < deadline) await insist(() => engine.maintainNow());
    expect(await leases()).toEqual([held.id]);
    expect(await finish(engine, "holder", [held])).toBe(1);
    await check(url, running);
  });

  test("while it grants leases anew grants them the next time", async () => {
    const url = await cluster.newDatabase();
    const engine = await openEngine(url);
    for (let n = 0; n < 5; n++) await submit(engine, {});
    const held = await claim(engine, "holder", { max: 5 });
    await engine.close();
    // The only server of a database knows of none when it starts.
    const store = await PostgresStore.open({ url });
    opened.push(store);
    const round = (isUndone: boolean) =>
      store.transaction(async (tx) => {
        const ids = await tx.unleasedJobs(2);
        await tx.putLeases(
          ids.map((jobId) => ({ jobId, workerId: "w", attempt: 1, expiresAt: 9e12, deadlineAt: null })),
        );
        if (isUndone) throw new Error("cut off");
        return ids;
      });
    const granted: number[] = [];
    for (let rounds = 0; rounds < 10; rounds++) {
      await expect(round(true)).rejects.toThrow("cut off");
      granted.push(...(await round(false)));
    }
    expect(granted.sort()).toEqual(held.map(({ id }) => id).sort());
  });

  test("that is read-only is said to be so", async () => {
    const url = await cluster.newDatabase();
    const store = await PostgresStore.open({ url, patienceMs: 0 });
    opened.push(store);
    const database = databaseOf(url);
    await cluster.ask("postgres", `ALTER DATABASE ${database} SET default_transaction_read_only = on`);
    await cluster.ask(
      "postgres",
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`,
    );
    const writing = insist(() => store.transaction(async (tx) => tx.nextJobIds(1)).catch(unlessLost));
    await expect(writing).rejects.toThrow("the database cannot be used now: it is read-only");
  });

  /** The connection that was ended is met first. */
  function unlessLost(error: unknown): never {
    throw error instanceof StoreUnavailableError && error.message.includes("read-only")
      ? new Error(error.message)
      : error;
  }
});

test("texts that PostgreSQL cannot hold come back as they were", async () => {
  const engine = await openEngine(await cluster.newDatabase());
  const strange = 'a\u0000b\ufffe0 "q" \\ {x,NULL} \ufffe';
  const [job] = await submit(engine, {
    name: strange,
    labels: { odd: strange, plain: "x" },
    spec: { argv: [strange] },
  });
  const read = await engine.read.job(job?.id ?? 0);
  expect(read).toMatchObject({ name: strange, labels: { odd: strange }, spec: { argv: [strange] } });
  await submit(engine, { labels: { plain: "x" } });
  const page = { order: "oldest", limit: 10, cursor: null } as const;
  const found = await engine.read.jobs({ label: { key: "plain", value: "x" } }, page);
  expect(found.items.map(({ id }) => id)).toEqual([2]);
});

describe("an address that cannot be used", () => {
  const refusal = async (url: string): Promise<string> => {
    try {
      opened.push(await PostgresStore.open({ url, connectTimeoutMs: 2_000 }));
    } catch (error) {
      if (error instanceof StoreRefusedError) return error.message;
      throw error;
    }
    return "none";
  };

  test("is refused with the reason and without the password", async () => {
    const url = await cluster.newDatabase();
    const wrong = new URL(url);
    wrong.password = "hush-hush";
    expect(await refusal(wrong.href)).toContain("it refuses the user or the password");
    expect(await refusal(wrong.href)).not.toContain("hush");
    const missing = url.replace(/\/[^/]*$/, "/nowhere");
    expect(await refusal(missing)).toContain('database "nowhere" does not exist');
    expect(await refusal("postgres://u:hush@127.0.0.1:1/x")).toContain("nothing answers at its address");
    expect(await refusal("postgres://u:hush@no-such-host.invalid/x")).toContain("cannot be opened");
    expect(await refusal("postgres://u:hush@host/x?sslmode=maybe")).toContain("sslmode must be one of");
    expect(await refusal("postgres://:hush@host:99999999/x")).not.toContain("hush");
  });

  test.each(["a@hush", "a@hush:b", "a/hush", "a@b/hush", "a?hush", "a@b?hush", "1?hush=b", "a%hush"])(
    "is refused without any part of the password where that has a sign of its own: %s",
    async (password) => {
      const words = await refusal(`postgres://u:${password}@127.0.0.1:1/x`);
      expect(words).not.toContain("hush");
      expect(words).toContain("%");
    },
  );

  test("is refused when a newer version has been there", async () => {
    const url = await cluster.newDatabase();
    opened.push(await PostgresStore.open({ url }));
    await cluster.ask(databaseOf(url), "UPDATE yardmaster.meta SET value = 99");
    expect(await refusal(url)).toContain("was written by a newer Yardmaster (schema 99, this one knows");
  });
});
