/**
 * Every setting of Yardmaster in one table. Flags, help, `yardmaster config`, the check of the
 * configuration file and `docs/configuration.md` all come from here.
 *
 * A setting `agent.cpu` is the flag `--cpu` of the commands in `commands`, the variable
 * `YARDMASTER_AGENT_CPU`, and `cpu` in the section `[agent]` of the file.
 */
import { JOB_KINDS } from "../domain/job.ts";
import {
  apiKeys,
  byteSize,
  choice,
  choices,
  databaseUrl,
  durationMs,
  durationMsOrNever,
  endpointUrl,
  headerWords,
  hostNames,
  integer,
  keySetUrl,
  labels,
  paths,
  type SettingKind,
  s3Address,
  text,
  texts,
  toggle,
  urlPrefixes,
  webOrigins,
} from "./settingKind.ts";

/** Who reads a setting; its flag is on the commands of that group. */
export type SettingGroup = "server" | "agent" | "client";

export interface Setting<T> {
  readonly group: SettingGroup;
  /** Place in the file: `lease-ms`, or `agent.cpu` for `cpu` in `[agent]`. */
  readonly key: string;
  readonly kind: SettingKind<T>;
  /** Null where absence means something of its own, told by `defaultText`. */
  readonly default: T | null;
  readonly defaultText?: string;
  readonly description: string;
  /** Never shown. */
  readonly isSecret?: true;
  /** Absent is `--` and the key; null is none: others can read a command line. */
  readonly flag?: `--${string}` | null;
  /** A variable of WhatsNext's server, in any case, which counts where nothing else is set. */
  readonly formerVariable?: string;
}

function define<T>(setting: Setting<T>): Setting<T> {
  return setting;
}

const MAX_COUNT = 1_000_000;

export const SETTINGS = {
  server: define({
    group: "client",
    key: "server",
    kind: text("url", "the address of a server, such as http://127.0.0.1:8000"),
    default: "http://127.0.0.1:8000",
    description: "Server that the agent and the commands talk to.",
  }),
  apiKey: define({
    group: "client",
    key: "api-key",
    kind: text("key", "an API key"),
    default: null,
    defaultText: "none",
    description: "Key sent with every request to the server.",
    isSecret: true,
    flag: null,
  }),
  listen: define({
    group: "server",
    key: "listen",
    kind: texts(
      "host:port",
      "HOST:PORT, such as 127.0.0.1:8000, [::1]:8000 or 127.0.0.1:0 for any free port",
    ),
    default: ["127.0.0.1:8000"],
    description: "Address to serve on. Can be given several times. Port 0 takes any free port.",
  }),
  data: define({
    group: "server",
    key: "data",
    kind: text("dir", "a folder"),
    default: "./yardmaster-data",
    description: "Folder of everything the server keeps. Made when it is not there.",
  }),
  store: define({
    group: "server",
    key: "store",
    kind: databaseUrl(),
    default: null,
    defaultText: "a file in the data folder",
    description:
      "PostgreSQL database that holds the jobs, for any number of servers. Others can read a command line: give the password in a variable, `YARDMASTER_STORE` or `PGPASSWORD`.",
    isSecret: true,
  }),
  blobs: define({
    group: "server",
    key: "blobs",
    kind: s3Address(),
    default: null,
    defaultText: "the folder `artifacts` in the data folder",
    description:
      "Bucket of an S3-compatible service that holds the artifacts, for servers on several machines. One prefix belongs to one installation.",
  }),
  s3Endpoint: define({
    group: "server",
    key: "s3-endpoint",
    kind: endpointUrl(),
    default: null,
    defaultText: "`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or AWS",
    description: "Address of that service. Buckets are named in the path.",
  }),
  s3Region: define({
    group: "server",
    key: "s3-region",
    kind: text("region", "the name of a region"),
    default: null,
    defaultText: "`AWS_REGION`, `AWS_DEFAULT_REGION`, or `us-east-1`",
    description: "Region of the bucket.",
  }),
  s3AccessKeyId: define({
    group: "server",
    key: "s3-access-key-id",
    kind: text("id", "an access key"),
    default: null,
    defaultText: "`AWS_ACCESS_KEY_ID`",
    description: "Access key for that service.",
    isSecret: true,
    flag: null,
  }),
  s3SecretAccessKey: define({
    group: "server",
    key: "s3-secret-access-key",
    kind: text("key", "a secret access key"),
    default: null,
    defaultText: "`AWS_SECRET_ACCESS_KEY`",
    description: "Secret of that access key.",
    isSecret: true,
    flag: null,
  }),
  s3SessionToken: define({
    group: "server",
    key: "s3-session-token",
    kind: text("token", "a session token"),
    default: null,
    defaultText: "`AWS_SESSION_TOKEN`, where the keys come from `AWS_*` too",
    description: "Token of temporary keys. It is read once, at the start.",
    isSecret: true,
    flag: null,
  }),
  insecure: define({
    group: "server",
    key: "insecure",
    kind: toggle(),
    default: false,
    description:
      "Allow addresses that other machines can reach although there are no API keys: whoever reaches such an address can run commands on every agent.",
  }),
  apiKeys: define({
    group: "server",
    key: "api-keys",
    kind: apiKeys(),
    default: [],
    description:
      "Key that the server takes, of the role admin, or of another as `role:key`. Can be given several times. Others can read a command line: `yardmaster keys create` keeps keys better.",
    isSecret: true,
    flag: "--api-key",
    formerVariable: "api_keys",
  }),
  maxTokenLifetimeMs: define({
    group: "server",
    key: "max-token-lifetime-ms",
    kind: durationMs(1_000),
    default: 24 * 3_600_000,
    description: "Longest lifetime of the tokens that POST /v1/tokens makes.",
  }),
  jwtIssuer: define({
    group: "server",
    key: "jwt-issuer",
    kind: text("issuer", "what the claim iss of the tokens says"),
    default: null,
    defaultText: "none",
    description:
      "Other issuer whose tokens (JWT) the server takes, as their claim `iss` names it. Needs jwt-audience and jwks-url; every request needs a key or a token then.",
  }),
  jwtAudience: define({
    group: "server",
    key: "jwt-audience",
    kind: text("audience", "what the claim aud of the tokens says"),
    default: null,
    defaultText: "none",
    description:
      "What the claim `aud` of those tokens must hold, so that tokens for other services do not count here.",
  }),
  jwksUrl: define({
    group: "server",
    key: "jwks-url",
    kind: keySetUrl(),
    default: null,
    defaultText: "none",
    description: "Where that issuer publishes its public keys (JWKS).",
  }),
  jwtRoleClaim: define({
    group: "server",
    key: "jwt-role-claim",
    kind: text("claim", "the name of a claim, with dots for one inside another"),
    default: "role",
    description:
      "Claim of those tokens that names the role: a text or a list; of several the one that reaches furthest.",
  }),
  jwtClockSkewMs: define({
    group: "server",
    key: "jwt-clock-skew-ms",
    kind: durationMs(0),
    default: 30_000,
    description: "How far that issuer's clock may be off.",
  }),
  maxOpenSockets: define({
    group: "server",
    key: "max-open-sockets",
    kind: integer("n", 1, MAX_COUNT),
    default: 10_000,
    description: "WebSockets, event streams and followed logs open at one time, together; more are refused.",
  }),
  rateLimitPerMinute: define({
    group: "server",
    key: "rate-limit-per-minute",
    kind: integer("n", 0, MAX_COUNT),
    default: 0,
    description:
      "Requests that one key, or without a key one address, may make in a minute. 0 is no limit. Health, readiness and the API pages are not counted.",
    formerVariable: "rate_limit_per_minute",
  }),
  allowedHosts: define({
    group: "server",
    key: "allowed-host",
    kind: hostNames(),
    default: [],
    description:
      "Name under which a server without API keys also answers on this machine's own addresses, as a proxy in front of it passes it on; `*` is every name. Can be given several times.",
  }),
  corsOrigins: define({
    group: "server",
    key: "cors-origin",
    kind: webOrigins(),
    default: ["local"],
    description:
      "Other site whose pages may call the server from a browser; `local` is what the reader's own machine serves (localhost, any port), `none` no other site, `*` every site. Can be given several times.",
    formerVariable: "cors_origins",
  }),
  corsAllowMethods: define({
    group: "server",
    key: "cors-allow-methods",
    kind: headerWords("method", "HTTP methods, or * for all"),
    default: ["*"],
    description: "Methods that pages of those sites may use.",
    formerVariable: "cors_allow_methods",
  }),
  corsAllowHeaders: define({
    group: "server",
    key: "cors-allow-headers",
    kind: headerWords("header", "names of headers, or * for all"),
    default: ["*"],
    description: "Headers that pages of those sites may send.",
    formerVariable: "cors_allow_headers",
  }),
  corsAllowCredentials: define({
    group: "server",
    key: "cors-allow-credentials",
    kind: toggle(),
    default: false,
    description:
      "Let pages of those sites use the login that the browser has stored. Never in force together with `*` as the site.",
    formerVariable: "cors_allow_credentials",
  }),
  logLevel: define({
    group: "server",
    key: "log-level",
    kind: choice(["debug", "info", "warn", "error", "silent"]),
    default: "info",
    description: "Least severe line that the server logs to stderr.",
  }),
  leaseMs: define({
    group: "server",
    key: "lease-ms",
    kind: durationMs(1_000),
    default: 30_000,
    description: "How long a job stays with a worker that is not heard from, before another one gets it.",
  }),
  whatsnextQueuedLeaseMs: define({
    group: "server",
    key: "whatsnext-queued-lease-ms",
    kind: durationMs(1_000),
    default: 10 * 60_000,
    description: "How long a job fetched by a WhatsNext client may stay QUEUED before another one gets it.",
  }),
  whatsnextRunningLeaseMs: define({
    group: "server",
    key: "whatsnext-running-lease-ms",
    kind: durationMs(1_000),
    default: 24 * 3_600_000,
    description:
      "How long a job of a WhatsNext client that did not name itself may stay RUNNING: such clients say nothing while a job runs.",
  }),
  whatsnextClientLeaseMs: define({
    group: "server",
    key: "whatsnext-client-lease-ms",
    kind: durationMs(1_000),
    default: 10 * 60_000,
    description:
      "How long a job stays with a WhatsNext client that named itself when it fetched the job; its heartbeats begin the time anew.",
  }),
  executrLeaseMs: define({
    group: "server",
    key: "executr-lease-ms",
    kind: durationMs(1_000),
    default: 15_000,
    description:
      "How long a running job of Executr's API stays with an executor or agent that sends no heartbeats.",
  }),
  executrMaxRecoveries: define({
    group: "server",
    key: "executr-max-recoveries",
    kind: integer("n", 0, 1_000),
    default: 3,
    description:
      "How often a job submitted through Executr's API is put back because its executor vanished; the next time it fails, retries left or not.",
  }),
  shelbyNodeTimeoutMs: define({
    group: "server",
    key: "shelby-node-timeout-ms",
    kind: durationMs(1_000),
    default: 60_000,
    description:
      "How long a ShelbyCompute node may be silent: then it is not active, and its jobs go to other nodes.",
  }),
  shelbyScriptGraceMs: define({
    group: "server",
    key: "shelby-script-grace-ms",
    kind: durationMs(0),
    default: 2_000,
    description:
      "How long a ShelbyCompute job that was created without a script waits for one before nodes can take it without.",
  }),
  shelbyScriptKeepMs: define({
    group: "server",
    key: "shelby-script-keep-ms",
    kind: durationMs(1),
    default: 7 * 86_400_000,
    description: "How long a ShelbyCompute script that was uploaded before its job waits for it.",
  }),
  shelbyOfferMs: define({
    group: "server",
    key: "shelby-offer-ms",
    kind: durationMs(0),
    default: 3_000,
    description: "How long a job that a ShelbyCompute node was shown by a poll is shown to no other node.",
  }),
  requireSignatures: define({
    group: "server",
    key: "require-signatures",
    kind: toggle(),
    default: false,
    description:
      "Take acknowledgements of ShelbyCompute nodes only with a signature under the handshake key that the node registered.",
  }),
  retainSucceededMs: define({
    group: "server",
    key: "retain-succeeded-ms",
    kind: durationMsOrNever(0),
    default: 7 * 86_400_000,
    description: "How long succeeded jobs are kept with their logs. `never` deletes none.",
  }),
  retainFailedMs: define({
    group: "server",
    key: "retain-failed-ms",
    kind: durationMsOrNever(0),
    default: 30 * 86_400_000,
    description: "How long failed jobs are kept with their logs. `never` deletes none.",
  }),
  retainCancelledMs: define({
    group: "server",
    key: "retain-cancelled-ms",
    kind: durationMsOrNever(0),
    default: 7 * 86_400_000,
    description: "How long cancelled jobs are kept with their logs. `never` deletes none.",
  }),
  retainArtifactsMs: define({
    group: "server",
    key: "retain-artifacts-ms",
    kind: durationMsOrNever(1_000),
    default: 30 * 86_400_000,
    description:
      "How long an artifact that no job (nor task, nor waiting script) names is kept after it was stored, asked for or found named last. `never` deletes none.",
  }),
  maxBodyBytes: define({
    group: "server",
    key: "max-body-bytes",
    kind: byteSize(1024),
    default: 16 * 1024 * 1024,
    description: "Largest body of one request, files excepted.",
  }),
  maxArtifactBytes: define({
    group: "server",
    key: "max-artifact-bytes",
    kind: byteSize(1),
    default: 64 * 1024 ** 3,
    description: "Largest file that can be stored.",
  }),
  agentName: define({
    group: "agent",
    key: "agent.name",
    kind: text("name", "a name"),
    default: null,
    defaultText: "the machine's name",
    description: "Name of the agent in lists.",
  }),
  agentId: define({
    group: "agent",
    key: "agent.id",
    kind: text("id", "an id"),
    default: null,
    defaultText: "made at the first start and kept in the state folder",
    description: "Id of the agent as a worker; no two agents may share one.",
  }),
  agentQueues: define({
    group: "agent",
    key: "agent.queue",
    kind: texts("queue", "names of queues, or * for every queue"),
    default: ["*"],
    description: "Queue to take jobs from. Can be given several times; `*` is every queue.",
  }),
  agentCpu: define({
    group: "agent",
    key: "agent.cpu",
    kind: integer("n", 0, MAX_COUNT),
    default: null,
    defaultText: "the machine's cores",
    description: "CPU slots to give to jobs.",
  }),
  agentAccelerators: define({
    group: "agent",
    key: "agent.accelerators",
    kind: integer("n", 0, 1024),
    default: 0,
    description: "Accelerators to give to jobs, handed out by index.",
  }),
  agentMemoryMb: define({
    group: "agent",
    key: "agent.memory-mb",
    kind: integer("MiB", 0, 1_000_000_000),
    default: null,
    defaultText: "the machine's memory",
    description: "Memory to give to jobs, in MiB.",
  }),
  agentLabels: define({
    group: "agent",
    key: "agent.label",
    kind: labels(),
    default: {},
    description: "Label that jobs can require of a worker. Can be given several times.",
  }),
  agentStateDir: define({
    group: "agent",
    key: "agent.state-dir",
    kind: text("dir", "a folder"),
    default: null,
    defaultText: "the folder `agent` in the data folder, or `agent-2` and so on where that is in use",
    description: "Folder of the agent's workspaces and journal. One agent a folder.",
  }),
  agentGraceMs: define({
    group: "agent",
    key: "agent.grace-ms",
    kind: durationMs(0),
    default: 5_000,
    description: "Time between SIGTERM and SIGKILL when a job is ended.",
  }),
  agentDrainTimeoutMs: define({
    group: "agent",
    key: "agent.drain-timeout-ms",
    kind: durationMsOrNever(0),
    default: null,
    defaultText: "never",
    description:
      "How long a draining agent waits for its jobs before it puts them back. `never` waits for ever.",
  }),
  agentCacheDir: define({
    group: "agent",
    key: "agent.cache-dir",
    kind: text("dir", "a folder"),
    default: null,
    defaultText: "`yardmaster` in `XDG_CACHE_HOME` or `~/.cache`",
    description:
      "Folder of downloaded binaries, datasets and Python environments. The agents of a machine and user share it.",
  }),
  agentCacheBytes: define({
    group: "agent",
    key: "agent.cache-bytes",
    kind: byteSize(1),
    default: 10 * 1024 ** 3,
    description:
      "Size of the downloads in that folder. What was not used for longest makes room; what a job uses stays.",
  }),
  agentMaxBinaryBytes: define({
    group: "agent",
    key: "agent.max-binary-bytes",
    kind: byteSize(1),
    default: 4 * 1024 ** 3,
    description: "Largest binary or dataset that is downloaded.",
  }),
  agentDownloadTimeoutMs: define({
    group: "agent",
    key: "agent.download-timeout-ms",
    kind: durationMs(1),
    default: 3_600_000,
    description: "Longest time of one download, all tries together.",
  }),
  agentDownloadIdleTimeoutMs: define({
    group: "agent",
    key: "agent.download-idle-timeout-ms",
    kind: durationMs(1),
    default: 30_000,
    description: "How long a download may stand still, connecting included, before it is tried again.",
  }),
  agentAllowUrlPrefixes: define({
    group: "agent",
    key: "agent.allow-url-prefix",
    kind: urlPrefixes(),
    default: [],
    description:
      "Beginning of the URLs that binaries and datasets may come from. Can be given several times; without one every URL may be used.",
  }),
  agentAllowLinkLocal: define({
    group: "agent",
    key: "agent.allow-link-local",
    kind: toggle(),
    default: false,
    description:
      "Download from link-local addresses and the metadata services of clouds too, which hand out a machine's own credentials.",
  }),
  agentPython: define({
    group: "agent",
    key: "agent.python",
    kind: text("program", "a name or path"),
    default: "python3",
    description: "The Python to run scripts with. An agent without one takes no jobs of the kind `script`.",
  }),
  agentMaxEnvironments: define({
    group: "agent",
    key: "agent.max-environments",
    kind: integer("n", 1, 100_000),
    default: 20,
    description:
      "Python environments kept in the cache folder, one for each set of requirements. Those used longest ago make room.",
  }),
  agentEnvironmentTimeoutMs: define({
    group: "agent",
    key: "agent.environment-timeout-ms",
    kind: durationMs(1_000),
    default: 30 * 60_000,
    description: "Longest time of one step of making an environment, such as installing its packages.",
  }),
  agentMaxModelBytes: define({
    group: "agent",
    key: "agent.max-model-bytes",
    kind: byteSize(1),
    default: 16 * 1024 ** 3,
    description: "Largest model of a script that is stored.",
  }),
  agentUsageEveryMs: define({
    group: "agent",
    key: "agent.usage-every-ms",
    kind: durationMs(100),
    default: 5_000,
    description: "How often the agent looks at what scripts use of the machine.",
  }),
  agentMaxLogBytes: define({
    group: "agent",
    key: "agent.max-log-bytes",
    kind: byteSize(64 * 1024),
    default: 64 * 1024 * 1024,
    description: "Output kept of one job. Of more than that, the start and the last part are kept.",
  }),
  agentWorkspaceLimitMb: define({
    group: "agent",
    key: "agent.workspace-limit-mb",
    kind: integer("MiB", 1, 1_000_000_000),
    default: null,
    defaultText: "no limit",
    description:
      "Disk space that the workspace of one job may take, in MiB. A job that is found to take more is ended, and has failed.",
  }),
  agentIsolation: define<"auto" | "required" | "off">({
    group: "agent",
    key: "agent.isolation",
    kind: choice(["auto", "required", "off"]),
    default: "auto",
    description:
      "Isolate jobs from the machine and from each other: `auto` where the machine can, `required` or the agent does not start, `off` not at all.",
  }),
  agentIsolateKinds: define({
    group: "agent",
    key: "agent.isolate-kind",
    kind: choices("kind", JOB_KINDS),
    default: null,
    defaultText: "binary and script; with `--isolation required` every kind",
    description: "Kind of job to isolate. Can be given several times.",
  }),
  agentJobNetwork: define<"allow" | "deny" | "install">({
    group: "agent",
    key: "agent.job-network",
    kind: choice(["deny", "install", "allow"]),
    default: null,
    defaultText: "install; with `--isolation required` deny",
    description:
      "Network of isolated jobs: none, the machine's while a script's requirements are installed, or the machine's.",
  }),
  agentBindReadOnly: define({
    group: "agent",
    key: "agent.bind-ro",
    kind: paths(),
    default: [],
    description: "Path that isolated jobs may read besides the system. Can be given several times.",
  }),
  agentBind: define({
    group: "agent",
    key: "agent.bind",
    kind: paths(),
    default: [],
    description: "Path that isolated jobs may read and write. Can be given several times.",
  }),
  agentJobMaxMemoryMb: define({
    group: "agent",
    key: "agent.job-max-memory-mb",
    kind: integer("MiB", 1, 1_000_000_000),
    default: null,
    defaultText: "what an isolated job asks for; no limit of others",
    description: "Memory that one job may use, in MiB, or less where it asks for less.",
  }),
  agentJobMaxProcesses: define({
    group: "agent",
    key: "agent.job-max-processes",
    kind: integer("n", 1, MAX_COUNT),
    default: null,
    defaultText: "4096 for an isolated job; no limit for others",
    description: "Processes and threads that one job may have at a time.",
  }),
  agentJobMaxCpuSeconds: define({
    group: "agent",
    key: "agent.job-max-cpu-seconds",
    kind: integer("s", 1, 1_000_000_000),
    default: null,
    defaultText: "no limit",
    description: "CPU time that one job may use, in seconds, of all its processes together.",
  }),
} as const;

export type SettingName = keyof typeof SETTINGS;
export const SETTING_NAMES = Object.keys(SETTINGS).filter((name): name is SettingName => name in SETTINGS);

type ValueOf<S> = S extends Setting<infer T> ? T : never;
/** Settings without a default of their own are null unless somebody sets them. */
type NullableNames =
  | "apiKey"
  | "blobs"
  | "s3Endpoint"
  | "s3Region"
  | "s3AccessKeyId"
  | "s3SecretAccessKey"
  | "s3SessionToken"
  | "store"
  | "jwtIssuer"
  | "jwtAudience"
  | "jwksUrl"
  | "agentName"
  | "agentId"
  | "agentCpu"
  | "agentMemoryMb"
  | "agentCacheDir"
  | "agentStateDir"
  | "agentWorkspaceLimitMb"
  | "agentIsolateKinds"
  | "agentJobNetwork"
  | "agentJobMaxMemoryMb"
  | "agentJobMaxProcesses"
  | "agentJobMaxCpuSeconds";
/** The value in force of every setting. */
export type SettingValues = {
  readonly [N in SettingName]: N extends NullableNames
    ? ValueOf<(typeof SETTINGS)[N]> | null
    : ValueOf<(typeof SETTINGS)[N]>;
};

/** `YARDMASTER_AGENT_CPU` for `agent.cpu`. */
export function variableOf(setting: Pick<Setting<unknown>, "key">): string {
  return `YARDMASTER_${setting.key.toUpperCase().replaceAll(/[.-]/g, "_")}`;
}

/** `--cpu` for `agent.cpu`; null for a setting without a flag. */
export function flagOf(setting: Pick<Setting<unknown>, "key" | "flag">): string | null {
  return setting.flag === undefined ? `--${setting.key.replace(/^agent\./, "")}` : setting.flag;
}

/** The default as a user would write it, or in words. */
export function defaultTextOf(setting: Setting<unknown>): string {
  if (setting.defaultText !== undefined) return setting.defaultText;
  const shown = setting.default === null ? "" : setting.kind.show(setting.default);
  return shown === "" ? "none" : shown;
}
