/** Claims that wait: who is served, who is not asked, and that nobody is forgotten or tries without end. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WorkerRegistration } from "../../src/domain/worker.ts";
import { type ClaimRequest, DEFAULT_ENGINE_SETTINGS } from "../../src/engine/engine.ts";
import { LocalEngine } from "../../src/engine/localEngine.ts";
import { SqliteReads } from "../../src/store/sqlite/sqliteReads.ts";
import { SqliteStore } from "../../src/store/sqlite/sqliteStore.ts";
import type { Store, StoreNews, Transaction } from "../../src/store/store.ts";
import { newJob, TestEngine } from "./testEngine.ts";

const registration = (id: string, details: Partial<WorkerRegistration> = {}): WorkerRegistration => ({
  id,
  name: id,
  address: null,
  capacity: { cpu: 4, accelerators: 0, memoryMb: 0 },
  labels: {},
  queues: ["*"],
  kinds: ["command"],
  dialect: "yardmaster",
  details: {},
  ...details,
});

describe("a waiting claim", () => {
  let yard: TestEngine;

  beforeEach(async () => {
    yard = await TestEngine.open();
  });
  afterEach(() => yard.dispose());

  /** Claims one after the other, so that they wait in this order. */
  async function wait(...workerIds: string[]) {
    const claims = [];
    for (const id of workerIds) {
      claims.push(yard.claim(id, { waitMs: 60_000, max: 1 }));
      await yard.engine.read.workers();
    }
    return claims;
  }

  const commands = async () => (await yard.engine.figures()).commitSize.sum;

  test("gets the job that draining workers before it may not have", async () => {
    const ids = ["a", "b", "c", "d"];
    for (const id of ids) {
      await yard.engine.registerWorker(registration(id));
      await yard.engine.drainWorker(id);
    }
    await wait(...ids);
    const [able] = await wait("able");
    await yard.submit({});
    expect((await able)?.map((job) => job.id)).toEqual([1]);
  });

  test("gets the job that is too large for the workers before it, which claim ahead", async () => {
    const ids = ["a", "b", "c", "d"];
    for (const id of ids) await yard.engine.registerWorker(registration(id));
    await wait(...ids);
    const [large] = await wait("large");
    await yard.submit({ resources: { cpu: 8 } });
    expect((await large)?.map((job) => job.id)).toEqual([1]);
  });

  test("of a worker that began to drain meanwhile holds up nobody", async () => {
    const ids = ["a", "b", "c", "d"];
    for (const id of ids) await yard.engine.registerWorker(registration(id));
    await wait(...ids);
    for (const id of ids) await yard.engine.drainWorker(id);
    const [able] = await wait("able");
    await yard.submit({});
    expect((await able)?.map((job) => job.id)).toEqual([1]);
  });

  test("is not tried for jobs whose labels its worker has not", async () => {
    await wait("a", "b", "c", "d");
    const before = await commands();
    for (let count = 0; count < 10; count++) await yard.submit({ requires: { gpu: "yes" } });
    await yard.engine.read.workers();
    expect((await commands()) - before).toBe(11);
  });

  test("is tried again when its worker registers with other labels", async () => {
    const [claim] = await wait("w");
    await yard.submit({ requires: { gpu: "yes" } });
    await yard.engine.registerWorker(registration("w", { labels: { gpu: "yes" } }));
    expect((await claim)?.map((job) => job.id)).toEqual([1]);
  });
});

/** A store in which something goes wrong, or is told, whenever a test wants it. */
class TrickyStore {
  readonly dataDir = mkdtempSync(join(tmpdir(), "yardmaster-claims-"));
  /** Called for each read of a line of ready jobs. */
  onReadyHeads = () => {};
  /** Called for each transaction. */
  onTransaction = () => {};
  readonly #store = new SqliteStore({ dataDir: this.dataDir });
  #tell: (news: StoreNews) => void = () => {};

  tell(news: StoreNews): void {
    this.#tell(news);
  }

  open(): LocalEngine {
    const { dataDir } = this;
    const settings = { ...DEFAULT_ENGINE_SETTINGS, maintenanceMs: 3_600_000 };
    return new LocalEngine({ store: this.#asStore(), reads: new SqliteReads(dataDir), settings });
  }

  #asStore(): Store {
    return Object.assign(Object.create(null), {
      isShared: false,
      transaction: <T>(work: (tx: Transaction) => Promise<T>) => {
        this.onTransaction();
        return this.#store.transaction((tx) => work(this.#tricky(tx)));
      },
      clock: () => this.#store.clock(),
      listen: (listener: (news: StoreNews) => void) => {
        this.#tell = listener;
        return () => {};
      },
      sizeBytes: () => this.#store.sizeBytes(),
      close: () => this.#store.close(),
    } satisfies Store);
  }

  #tricky(tx: Transaction): Transaction {
    return new Proxy(tx, {
      get: (target, name) => {
        if (name === "readyHeads") this.onReadyHeads();
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }
}

describe("where claims go wrong", () => {
  let store: TrickyStore;
  let engine: LocalEngine;

  beforeEach(async () => {
    store = new TrickyStore();
    engine = store.open();
    await engine.start();
  });
  afterEach(async () => {
    await engine.close();
    rmSync(store.dataDir, { recursive: true, force: true });
  });

  const claim = (waitMs: number, signal?: AbortSignal, workerId = "w") => {
    const request: ClaimRequest = {
      workerId,
      queues: ["*"],
      kinds: ["command"],
      capacity: { cpu: 4, accelerators: 0, memoryMb: 0 },
      max: 1,
      waitMs,
      leaseMs: null,
    };
    return engine.claim(request, signal);
  };

  test("the commit that would have served them makes its jobs without them", async () => {
    const waiting = claim(60_000).catch((error: Error) => error.message);
    await engine.read.workers();
    store.onReadyHeads = () => {
      throw new Error("a line that cannot be read");
    };
    const { jobs } = await engine.submit({ jobs: [newJob()], idempotency: null });
    expect(jobs.map((job) => job.state)).toEqual(["ready"]);
    expect(await waiting).toBe("a line that cannot be read");
  });

  test("a claim that misses jobs time and again tries again at a pace", async () => {
    let transactions = 0;
    store.onTransaction = () => {
      transactions++;
      store.tell({ type: "freed" });
    };
    expect(await claim(400)).toEqual([]);
    expect(transactions).toBeGreaterThan(2);
    expect(transactions).toBeLessThan(60);
  });

  test("every claim ends when the engine closes, also one that a commit is about to serve", async () => {
    const waiting = ["a", "b", "c"].map((id) => claim(60_000, undefined, id));
    await engine.read.workers();
    const submitted = engine.submit({ jobs: [newJob()], idempotency: null });
    await engine.close();
    expect((await submitted).jobs).toHaveLength(1);
    const ended = await Promise.allSettled(waiting);
    expect(ended.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  });

  test("a claim whose caller left is not tried again", async () => {
    const caller = new AbortController();
    const waiting = claim(60_000, caller.signal);
    await engine.read.workers();
    let transactions = 0;
    store.onTransaction = () => {
      transactions++;
    };
    store.tell({ type: "freed" });
    caller.abort();
    expect(await waiting).toEqual([]);
    expect(transactions).toBe(0);
  });
});
