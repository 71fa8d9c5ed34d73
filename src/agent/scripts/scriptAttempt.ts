/** One attempt at a `script` job: its script, dataset and environment; then its model, result and provenance. */
import { mkdirSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { JobResult, JsonObject, NewRecord } from "@yardmaster/client";
import { PROVENANCE, recordHash } from "../../domain/provenance.ts";
import { UnavailableFault } from "../binaries/download.ts";
import { errorText } from "../errorText.ts";
import { MachineBusyError, machineFault } from "../machineFault.ts";
import { JobFault, type Launch, type RunContext } from "../runner.ts";
import type { ProcessEnd } from "../supervisedProcess.ts";
import { fetchDataset, type HeldDataset } from "./dataset.ts";
import { DATASET_FOLDER, OUTPUT_FOLDER, REQUIREMENTS_FILE } from "./entrypoint.ts";
import type { Environment } from "./environments.ts";
import { fetchScript } from "./fetchScript.ts";
import { InstallRoom, saysDiskFull } from "./installRoom.ts";
import { LastLines } from "./lastLines.ts";
import { findModel } from "./model.ts";
import { type AttemptEnd, provenanceRecord } from "./provenanceRecord.ts";
import type { Python } from "./python.ts";
import { normalRequirements } from "./requirements.ts";
import { type DatasetRequest, readScriptJob, type ScriptJob, sha256Of } from "./scriptJob.ts";
import type { ScriptServices } from "./scriptServices.ts";
import { type StoredModel, storeModel } from "./storeModel.ts";
import type { UsageWatch } from "./usageSampler.ts";

/** Of the last line of errors, what is shown as the reason of a failure. */
const MAX_REASON_CHARACTERS = 1_000;

export class ScriptAttempt {
  readonly #services: ScriptServices;
  readonly #context: RunContext;
  readonly #lastErrors = new LastLines(1, MAX_REASON_CHARACTERS);
  #script: ScriptJob | null = null;
  #scriptBytes: number | null = null;
  #python: Python | null = null;
  #environment: Environment | null = null;
  #dataset: HeldDataset | null = null;
  #datasetFault: string | null = null;
  #previous: string | null = null;
  #startedAtMs: number | null = null;
  /** When the script ended; storing its model comes after. */
  #endedAtMs: number | null = null;
  #usage: UsageWatch | null = null;

  constructor(services: ScriptServices, context: RunContext) {
    this.#services = services;
    this.#context = context;
  }

  /**
   * Everything that the script needs, and how to start it.
   *
   * @throws JobFault with the provenance of the failure, MachineBusyError when this machine is at fault
   */
  async prepare(): Promise<Launch> {
    try {
      this.#previous = await this.#previousHash();
      return await this.#prepared();
    } catch (error) {
      this.#release();
      // The job goes back to the queue, and nothing has happened.
      const fault = machineFault(error, dirname(this.#context.workspace), "state-dir");
      if (fault !== null && !this.#context.signal.aborted) throw fault;
      // Many look at the log alone.
      if (!this.#context.signal.aborted) this.#context.note(`not started: ${errorText(error)}`);
      const failed = await this.#endOf("failed", null, errorText(error), null);
      throw new JobFault(failed.error ?? "", null, { result: failed.result, records: failed.records });
    }
  }

  async #prepared(): Promise<Launch> {
    const { workspace, job } = this.#context;
    const script = readScriptJob(job);
    this.#script = script;
    const text = await this.#fetchScript(script);
    if (script.lentBy !== null) {
      this.#context.note(
        `no script came under this job's own id: it runs the one uploaded for ${script.lentBy}`,
      );
    }
    const output = join(workspace, OUTPUT_FOLDER);
    mkdirSync(output, { mode: 0o700 });
    this.#python = await this.#services.python();
    const environment = await this.#environmentFor(this.#python, script.requirements);
    this.#environment = environment;
    const { dataset } = script;
    this.#dataset = await this.#datasetFor(text, dataset);
    const cached = this.#dataset?.cachedPath ?? null;
    return {
      argv: [environment.python, "-u", script.entrypoint],
      env: {
        ...this.#pythonVariables(environment),
        DATASET_PATH: this.#dataset?.path ?? "",
        DATASET_NAME: dataset?.name ?? "",
        OUTPUT_DIR: output,
        JOB_ID: job.key,
      },
      cwd: workspace,
      reads: [
        ...this.#services.readsOf(this.#python),
        ...(environment.folder === null ? [] : [environment.folder]),
        ...(cached === null ? [] : [cached]),
      ],
      countsCpu: true,
      onStarted: (process, accelerators) => {
        this.#startedAtMs = Date.now();
        this.#usage = this.#services.sampler.watch({ job, process, accelerators });
      },
      onOutput: (stream, bytes) => {
        if (stream === "stderr") this.#lastErrors.append(bytes);
      },
      settle: (result, end) => this.#settle(result, end),
      release: () => this.#release(),
    };
  }

  /** Of the newest record, which this attempt's will name. While we hold the job nobody else adds one. */
  async #previousHash(): Promise<string | null> {
    const { link, client } = this.#services;
    const { job, signal } = this.#context;
    const [newest] = await link.call(
      "the job's provenance",
      (both) => client.records(job.id, { kind: PROVENANCE, order: "newest", limit: 1 }, { signal: both }),
      signal,
    );
    return newest === undefined ? null : recordHash(newest.data);
  }

  async #fetchScript({ scriptSha256, entrypoint, requirements }: ScriptJob): Promise<Uint8Array> {
    const text = await fetchScript(scriptSha256, this.#services, this.#context.signal);
    this.#scriptBytes = text.byteLength;
    await this.#place(entrypoint, text);
    if (requirements !== "") await this.#place(REQUIREMENTS_FILE, requirements);
    return text;
  }

  /** Puts a file into the workspace. One that does not fit is not left there: what is free without it tells whose fault it is. */
  async #place(name: string, content: string | Uint8Array): Promise<void> {
    const { workspace } = this.#context;
    const path = join(workspace, name);
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content, { flag: "wx", mode: 0o600 });
    } catch (error) {
      rmSync(path, { force: true });
      throw machineFault(error, dirname(workspace), "state-dir", true) ?? error;
    }
  }

  /** Null where there is none, or where its server does not give it and the script has no use for it. */
  async #datasetFor(script: Uint8Array, dataset: DatasetRequest | null): Promise<HeldDataset | null> {
    if (dataset === null) return null;
    if (dataset.url === null) {
      if (dataset.hash !== null) {
        this.#context.note("the dataset's hash was not used: there is no address to fetch a dataset from");
      }
      return null;
    }
    try {
      return await fetchDataset({ ...dataset, url: dataset.url }, this.#services.datasets, this.#context);
    } catch (error) {
      const isNeeded = sha256Of(dataset.hash) !== null || speaksOfDataset(script);
      if (isNeeded || !(error instanceof UnavailableFault)) throw error;
      rmSync(join(this.#context.workspace, DATASET_FOLDER), { recursive: true, force: true });
      this.#datasetFault = error.message;
      const why = "the script does not speak of a dataset, and runs without it";
      this.#context.note(`${error.message}; ${why}`);
      return null;
    }
  }

  async #environmentFor(python: Python, requirements: string): Promise<Environment> {
    if (normalRequirements(requirements) === "") {
      return { python: python.executable, folder: null, packages: python.packages, release: () => {} };
    }
    const { cacheDir, environments, uv, installerVariables, environmentTimeoutMs } = this.#services;
    const { signal, note, step } = this.#context;
    const room = new InstallRoom(cacheDir);
    try {
      return await environments.take(python, requirements, {
        ...{ signal, note, uv, env: installerVariables, reads: this.#services.readsOf(python) },
        step: (launch, options) =>
          room.during(() => step(launch, { timeoutMs: environmentTimeoutMs, ...options })),
      });
    } catch (error) {
      if (error instanceof JobFault && room.wasShort(error)) {
        const message = `no space is left on the agent's disk for the requirements (cache-dir): ${error.message}`;
        throw new MachineBusyError(message, { folder: cacheDir, mayBeTheJobs: true });
      }
      throw machineFault(error, cacheDir, "cache-dir", true) ?? error;
    }
  }

  #pythonVariables({ folder }: Environment): Record<string, string> {
    const shared = { PYTHONUNBUFFERED: "1" };
    if (folder === null) return shared;
    // As an activated environment has it: programs that packages bring are found.
    return { ...shared, VIRTUAL_ENV: folder, PATH: `${join(folder, "bin")}:${this.#services.path}` };
  }

  async #settle(result: JobResult, end: ProcessEnd): Promise<JobResult> {
    this.#endedAtMs = Date.now();
    await this.#usage?.end();
    const { outcome, exitCode, error } = result;
    let ended: Ended;
    if (outcome === "succeeded") ended = await this.#collected(exitCode ?? null);
    else {
      // What ended the script by itself stands in its last line of errors.
      const isOwnFault = end.reason === null && end.error === null;
      const last = isOwnFault ? this.#lastErrors.text() : "";
      const place = saysDiskFull(last)
        ? `; no room for its files on the node ${this.#services.workerId} (state-dir)`
        : "";
      const reason = last === "" ? (error ?? "failed") : `${error}: ${last}${place}`;
      ended = await this.#endOf("failed", exitCode ?? null, reason, null);
    }
    return { ...result, ...ended };
  }

  async #collected(exitCode: number | null): Promise<Ended> {
    const { workspace, signal } = this.#context;
    try {
      const file = await findModel(join(workspace, OUTPUT_FOLDER));
      const model = file === null ? null : await storeModel(file, this.#services, this.#context);
      return await this.#endOf("succeeded", exitCode, null, model);
    } catch (error) {
      signal.throwIfAborted();
      const fault = machineFault(error, dirname(workspace), "state-dir");
      if (fault !== null) throw fault;
      const reason = `the model could not be stored: ${errorText(error)}`;
      return this.#endOf("failed", exitCode, reason, null);
    }
  }

  async #endOf(
    outcome: AttemptEnd["outcome"],
    exitCode: number | null,
    error: string | null,
    model: StoredModel | null,
  ): Promise<Ended> {
    const endedAtMs = this.#endedAtMs ?? Date.now();
    const startedAtMs = this.#startedAtMs;
    const usage = this.#usage?.summary.figures() ?? null;
    const metadata: JsonObject = {
      exitCode,
      ...(error === null ? {} : { error }),
      ...(model === null ? {} : { modelFile: model.name }),
      ...(usage === null ? {} : { usage }),
    };
    const shelby = {
      modelHash: model?.sha256 ?? "",
      modelSizeBytes: model?.bytes ?? 0,
      metadata,
      durationSeconds: startedAtMs === null ? 0 : Math.round(endedAtMs - startedAtMs) / 1000,
    };
    const { nodeKey, workerId } = this.#services;
    const record = await provenanceRecord(
      {
        ...{ job: this.#context.job, nodeId: workerId, previous: this.#previous, startedAtMs },
        ...{ script: this.#script, scriptBytes: this.#scriptBytes, python: this.#python },
        ...{ packages: this.#environment?.packages ?? null, dataset: this.#dataset },
        datasetFault: this.#datasetFault,
      },
      { ...shelby, outcome, exitCode, error, usage, endedAtMs },
      nodeKey,
    );
    return { outcome, error, result: { ...shelby, artifact: model?.sha256 ?? null }, records: [record] };
  }

  #release(): void {
    this.#usage?.stop();
    this.#environment?.release();
    this.#dataset?.release();
  }
}

/** A script finds its dataset by `DATASET_PATH` or in the folder `dataset`: one without the word finds none. */
function speaksOfDataset(script: Uint8Array): boolean {
  return /dataset/i.test(Buffer.from(script).toString("latin1"));
}

interface Ended {
  readonly outcome: "succeeded" | "failed";
  readonly error: string | null;
  readonly result: JsonObject;
  readonly records: NewRecord[];
}
