/** An engine on a real store in a fresh directory, with a clock that tests move by hand. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Job } from "../../src/domain/job.ts";
import {
  type ClaimRequest,
  DEFAULT_ENGINE_SETTINGS,
  type EngineSettings,
  type FinishRequest,
  type NewJob,
} from "../../src/engine/engine.ts";
import { LocalEngine } from "../../src/engine/localEngine.ts";
import { SqliteReads } from "../../src/store/sqlite/sqliteReads.ts";
import { SqliteStore } from "../../src/store/sqlite/sqliteStore.ts";

export class TestEngine {
  readonly dataDir = mkdtempSync(join(tmpdir(), "yardmaster-engine-"));
  readonly #settings: EngineSettings;
  now = 1_000_000;
  engine: LocalEngine;

  private constructor(settings: EngineSettings) {
    this.#settings = settings;
    this.engine = this.#open();
  }

  static async open(settings: Partial<EngineSettings> = {}): Promise<TestEngine> {
    // Upkeep runs when a test says so: its own pace is out of the way.
    const opened = new TestEngine({ ...DEFAULT_ENGINE_SETTINGS, maintenanceMs: 3_600_000, ...settings });
    await opened.engine.start();
    return opened;
  }

  #open(): LocalEngine {
    return new LocalEngine({
      store: new SqliteStore({ dataDir: this.dataDir }),
      reads: new SqliteReads(this.dataDir),
      settings: this.#settings,
      clock: () => this.now,
    });
  }

  async restart(): Promise<void> {
    await this.engine.close();
    this.engine = this.#open();
    await this.engine.start();
  }

  /** Moves the clock and lets the engine do its upkeep. */
  async pass(ms: number): Promise<void> {
    this.now += ms;
    await this.engine.maintainNow();
  }

  async submit(...jobs: Partial<NewJob>[]): Promise<readonly Job[]> {
    const receipt = await this.engine.submit({ jobs: jobs.map(newJob), idempotency: null });
    return receipt.jobs;
  }

  claim(workerId: string, request: Partial<ClaimRequest> = {}) {
    return this.engine.claim({
      workerId,
      queues: ["*"],
      kinds: ["command"],
      capacity: { cpu: 1_000, accelerators: 0, memoryMb: 0 },
      max: 500,
      waitMs: 0,
      leaseMs: 10_000,
      ...request,
    });
  }

  finish(
    workerId: string,
    id: number,
    attempt: number,
    outcome: FinishRequest["results"][number]["outcome"],
  ) {
    const exitCode = outcome === "succeeded" ? 0 : outcome === "failed" ? 1 : null;
    return this.engine.finish({
      workerId,
      results: [{ id, attempt, outcome, exitCode, error: null, result: null, startedAt: null }],
    });
  }

  renew(workerId: string, id: number, attempt: number, started = false) {
    return this.engine.renew({ workerId, leases: [{ id, attempt, progress: null, started }] });
  }

  async state(id: number): Promise<Job["state"]> {
    return (await this.engine.read.job(id)).state;
  }

  async dispose(): Promise<void> {
    await this.engine.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

export function newJob(details: Partial<NewJob> = {}): NewJob {
  return {
    dialect: "yardmaster",
    key: null,
    kind: "command",
    queue: "default",
    name: null,
    projectId: null,
    spec: { argv: ["true"] },
    task: null,
    priority: 0,
    resources: {},
    labels: {},
    requires: {},
    dependsOn: [],
    maxAttempts: 1,
    maxRecoveries: 0,
    timeoutMs: null,
    runAt: null,
    ...details,
  };
}
