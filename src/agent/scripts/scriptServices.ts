/** What all `script` jobs of an agent use. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { YardmasterClient } from "@yardmaster/client";
import type { NodeKey } from "../../domain/provenance.ts";
import type { AgentLog } from "../agentLog.ts";
import type { BinaryCache } from "../binaries/binaryCache.ts";
import type { DownloadLimits } from "../binaries/download.ts";
import type { OwnServer } from "../binaries/source.ts";
import { MachineBusyError } from "../machineFault.ts";
import type { ServerLink } from "../serverLink.ts";
import type { DatasetServices } from "./dataset.ts";
import { ENVIRONMENTS_FOLDER, Environments } from "./environments.ts";
import { findNvidiaSmi } from "./gpuUse.ts";
import { OLDER_ENVIRONMENTS_FOLDER } from "./olderEnvironments.ts";
import { describePython, type Python } from "./python.ts";
import { hasPython, type ScriptSettings } from "./scriptOptions.ts";
import { UsageSampler } from "./usageSampler.ts";

/** What the agent gives to its scripts. */
export interface ScriptServicesOptions {
  readonly settings: ScriptSettings;
  readonly cacheDir: string;
  readonly binaries: BinaryCache;
  readonly limits: DownloadLimits;
  readonly server: OwnServer;
  readonly client: YardmasterClient;
  readonly link: ServerLink;
  readonly workerId: string;
  readonly nodeKey: NodeKey;
  /** The environment that all jobs have. */
  readonly baseEnvironment: Readonly<Record<string, string>>;
  /** The agent's own environment: settings of installers are taken from it. */
  readonly ownEnvironment: Readonly<Record<string, string | undefined>>;
  readonly log: AgentLog;
}

/** Variables by which installers are told where packages come from. */
const INSTALLER_VARIABLE =
  /^(PIP_|UV_)|^(https?|all|no)_proxy$|^(SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE)$/i;

export class ScriptServices {
  readonly client: YardmasterClient;
  readonly link: ServerLink;
  readonly workerId: string;
  readonly nodeKey: NodeKey;
  readonly environments: Environments;
  /** Where environments, datasets and binaries lie. */
  readonly cacheDir: string;
  readonly datasets: DatasetServices;
  readonly sampler: UsageSampler;
  /** Path of `uv`; null where it is not installed. */
  readonly uv: string | null;
  readonly installerVariables: Readonly<Record<string, string>>;
  /** Where the jobs' programs are looked for. */
  readonly path: string;
  readonly maxScriptBytes: number;
  readonly maxModelBytes: number;
  readonly environmentTimeoutMs: number;
  readonly #settings: ScriptSettings;
  /** There was one when the agent began: that it is gone is no fault of a job. */
  readonly #hadPython: boolean;
  readonly #baseEnvironment: Readonly<Record<string, string>>;
  #python: Promise<Python> | null = null;

  constructor(options: ScriptServicesOptions) {
    const { settings, client, workerId, log, ownEnvironment, baseEnvironment } = options;
    this.client = client;
    this.link = options.link;
    this.workerId = workerId;
    this.nodeKey = options.nodeKey;
    this.cacheDir = options.cacheDir;
    this.environments = new Environments({
      folder: join(options.cacheDir, ENVIRONMENTS_FOLDER),
      olderFolder: join(options.cacheDir, OLDER_ENVIRONMENTS_FOLDER),
      maxEnvironments: settings.maxEnvironments,
      log,
    });
    this.datasets = { cache: options.binaries, limits: options.limits, server: options.server };
    this.sampler = new UsageSampler({
      ...{ client, workerId, everyMs: settings.usageEveryMs, nvidiaSmi: findNvidiaSmi() },
    });
    this.path = baseEnvironment.PATH ?? "";
    this.uv = settings.usesUv ? Bun.which("uv", { PATH: this.path }) : null;
    this.installerVariables = Object.fromEntries(
      Object.entries(ownEnvironment).flatMap(([name, value]) =>
        value !== undefined && INSTALLER_VARIABLE.test(name) ? [[name, value]] : [],
      ),
    );
    this.maxScriptBytes = settings.maxScriptBytes;
    this.maxModelBytes = settings.maxModelBytes;
    this.environmentTimeoutMs = settings.environmentTimeoutMs;
    this.#settings = settings;
    this.#hadPython = hasPython(settings);
    this.#baseEnvironment = baseEnvironment;
  }

  /**
   * The agent's Python, asked once; a Python that is missing may have been installed by the next job.
   *
   * @throws JobFault when there never was one, MachineBusyError when it is gone
   */
  async python(): Promise<Python> {
    // Another one may have come in the place of the one that was asked.
    for (let asked = 0; asked < 2; asked++) {
      this.#python ??= describePython(this.#settings.python, this.#baseEnvironment);
      try {
        const python = await this.#python;
        if (existsSync(python.executable)) return python;
      } catch (error) {
        this.#python = null;
        if (!this.#hadPython || hasPython(this.#settings)) throw error;
      }
      this.#python = null;
    }
    throw new MachineBusyError(`the agent's Python ${JSON.stringify(this.#settings.python)} is gone`, {
      isOver: () => hasPython(this.#settings),
    });
  }

  /** Folders of a Python that isolated jobs do not see by themselves. */
  readsOf({ prefix }: Python): readonly string[] {
    return prefix === "/usr" || prefix.startsWith("/usr/") ? [] : [prefix];
  }
}
