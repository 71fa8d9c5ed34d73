/**
 * What is in force: flags, then `YARDMASTER_*` variables, then the configuration file, then defaults.
 *
 * ```ts
 * const { values, entries } = resolveConfiguration({ flags: { listen: ["127.0.0.1:0"] }, env: process.env, cwd });
 * values.listen; // ["127.0.0.1:0"]
 * ```
 */
import { type ConfigurationFile, readConfigurationFile } from "./configurationFile.ts";
import { SettingValueError } from "./settingKind.ts";
import {
  defaultTextOf,
  flagOf,
  SETTINGS,
  type Setting,
  type SettingGroup,
  type SettingName,
  type SettingValues,
  variableOf,
} from "./settings.ts";
import { UsageError } from "./usageError.ts";

/** One setting in force, for `yardmaster config`. */
export interface ConfigurationEntry {
  readonly key: string;
  readonly group: SettingGroup;
  /** Null when nothing is set; a secret is masked. */
  readonly value: unknown;
  /** The value as a user would write it. */
  readonly text: string;
  /** `flag --listen`, `variable YARDMASTER_LISTEN`, `file yardmaster.toml` or `default`. */
  readonly source: string;
}

export interface Configuration {
  readonly values: SettingValues;
  readonly entries: readonly ConfigurationEntry[];
  /** Path of the file that was read. */
  readonly file: string | null;
}

export interface ConfigurationInput {
  /** Given flags: a text, for a list the texts in order, for a switch true. */
  readonly flags: Readonly<Partial<Record<SettingName, unknown>>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The file that `--config` names. */
  readonly configFile?: string | null;
  readonly cwd: string;
}

/** @throws UsageError naming where the wrong value stands and what is allowed */
export function resolveConfiguration(input: ConfigurationInput): Configuration {
  const named = input.configFile ?? (input.env.YARDMASTER_CONFIG || null);
  const file = readConfigurationFile(named, input.cwd);
  const entries: ConfigurationEntry[] = [];

  const optional = <T>(name: SettingName, setting: Setting<T>): T | null => {
    const { value, text, source } = find(name, setting, input, file);
    const isMasked = setting.isSecret === true && source !== "default";
    entries.push({
      key: setting.key,
      group: setting.group,
      value: isMasked ? "***" : value,
      text: isMasked ? "***" : text,
      source,
    });
    return value;
  };
  const required = <T>(name: SettingName, setting: Setting<T>): T => {
    const value = optional(name, setting);
    if (value === null) throw new UsageError(`the setting ${setting.key} has no value`);
    return value;
  };

  const s = SETTINGS;
  const values: SettingValues = {
    server: required("server", s.server),
    apiKey: optional("apiKey", s.apiKey),
    listen: required("listen", s.listen),
    data: required("data", s.data),
    store: optional("store", s.store),
    blobs: optional("blobs", s.blobs),
    s3Endpoint: optional("s3Endpoint", s.s3Endpoint),
    s3Region: optional("s3Region", s.s3Region),
    s3AccessKeyId: optional("s3AccessKeyId", s.s3AccessKeyId),
    s3SecretAccessKey: optional("s3SecretAccessKey", s.s3SecretAccessKey),
    s3SessionToken: optional("s3SessionToken", s.s3SessionToken),
    insecure: required("insecure", s.insecure),
    apiKeys: required("apiKeys", s.apiKeys),
    maxTokenLifetimeMs: required("maxTokenLifetimeMs", s.maxTokenLifetimeMs),
    jwtIssuer: optional("jwtIssuer", s.jwtIssuer),
    jwtAudience: optional("jwtAudience", s.jwtAudience),
    jwksUrl: optional("jwksUrl", s.jwksUrl),
    jwtRoleClaim: required("jwtRoleClaim", s.jwtRoleClaim),
    jwtClockSkewMs: required("jwtClockSkewMs", s.jwtClockSkewMs),
    maxOpenSockets: required("maxOpenSockets", s.maxOpenSockets),
    rateLimitPerMinute: required("rateLimitPerMinute", s.rateLimitPerMinute),
    allowedHosts: required("allowedHosts", s.allowedHosts),
    corsOrigins: required("corsOrigins", s.corsOrigins),
    corsAllowMethods: required("corsAllowMethods", s.corsAllowMethods),
    corsAllowHeaders: required("corsAllowHeaders", s.corsAllowHeaders),
    corsAllowCredentials: required("corsAllowCredentials", s.corsAllowCredentials),
    logLevel: required("logLevel", s.logLevel),
    leaseMs: required("leaseMs", s.leaseMs),
    whatsnextQueuedLeaseMs: required("whatsnextQueuedLeaseMs", s.whatsnextQueuedLeaseMs),
    whatsnextRunningLeaseMs: required("whatsnextRunningLeaseMs", s.whatsnextRunningLeaseMs),
    whatsnextClientLeaseMs: required("whatsnextClientLeaseMs", s.whatsnextClientLeaseMs),
    executrLeaseMs: required("executrLeaseMs", s.executrLeaseMs),
    executrMaxRecoveries: required("executrMaxRecoveries", s.executrMaxRecoveries),
    shelbyNodeTimeoutMs: required("shelbyNodeTimeoutMs", s.shelbyNodeTimeoutMs),
    shelbyScriptGraceMs: required("shelbyScriptGraceMs", s.shelbyScriptGraceMs),
    shelbyScriptKeepMs: required("shelbyScriptKeepMs", s.shelbyScriptKeepMs),
    shelbyOfferMs: required("shelbyOfferMs", s.shelbyOfferMs),
    requireSignatures: required("requireSignatures", s.requireSignatures),
    retainSucceededMs: optional("retainSucceededMs", s.retainSucceededMs),
    retainFailedMs: optional("retainFailedMs", s.retainFailedMs),
    retainCancelledMs: optional("retainCancelledMs", s.retainCancelledMs),
    retainArtifactsMs: optional("retainArtifactsMs", s.retainArtifactsMs),
    maxBodyBytes: required("maxBodyBytes", s.maxBodyBytes),
    maxArtifactBytes: required("maxArtifactBytes", s.maxArtifactBytes),
    agentName: optional("agentName", s.agentName),
    agentId: optional("agentId", s.agentId),
    agentQueues: required("agentQueues", s.agentQueues),
    agentCpu: optional("agentCpu", s.agentCpu),
    agentAccelerators: required("agentAccelerators", s.agentAccelerators),
    agentMemoryMb: optional("agentMemoryMb", s.agentMemoryMb),
    agentLabels: required("agentLabels", s.agentLabels),
    agentStateDir: optional("agentStateDir", s.agentStateDir),
    agentGraceMs: required("agentGraceMs", s.agentGraceMs),
    agentDrainTimeoutMs: optional("agentDrainTimeoutMs", s.agentDrainTimeoutMs),
    agentCacheDir: optional("agentCacheDir", s.agentCacheDir),
    agentCacheBytes: required("agentCacheBytes", s.agentCacheBytes),
    agentMaxBinaryBytes: required("agentMaxBinaryBytes", s.agentMaxBinaryBytes),
    agentDownloadTimeoutMs: required("agentDownloadTimeoutMs", s.agentDownloadTimeoutMs),
    agentDownloadIdleTimeoutMs: required("agentDownloadIdleTimeoutMs", s.agentDownloadIdleTimeoutMs),
    agentAllowUrlPrefixes: required("agentAllowUrlPrefixes", s.agentAllowUrlPrefixes),
    agentAllowLinkLocal: required("agentAllowLinkLocal", s.agentAllowLinkLocal),
    agentPython: required("agentPython", s.agentPython),
    agentMaxEnvironments: required("agentMaxEnvironments", s.agentMaxEnvironments),
    agentEnvironmentTimeoutMs: required("agentEnvironmentTimeoutMs", s.agentEnvironmentTimeoutMs),
    agentMaxModelBytes: required("agentMaxModelBytes", s.agentMaxModelBytes),
    agentUsageEveryMs: required("agentUsageEveryMs", s.agentUsageEveryMs),
    agentMaxLogBytes: required("agentMaxLogBytes", s.agentMaxLogBytes),
    agentWorkspaceLimitMb: optional("agentWorkspaceLimitMb", s.agentWorkspaceLimitMb),
    agentIsolation: required("agentIsolation", s.agentIsolation),
    agentIsolateKinds: optional("agentIsolateKinds", s.agentIsolateKinds),
    agentJobNetwork: optional("agentJobNetwork", s.agentJobNetwork),
    agentBindReadOnly: required("agentBindReadOnly", s.agentBindReadOnly),
    agentBind: required("agentBind", s.agentBind),
    agentJobMaxMemoryMb: optional("agentJobMaxMemoryMb", s.agentJobMaxMemoryMb),
    agentJobMaxProcesses: optional("agentJobMaxProcesses", s.agentJobMaxProcesses),
    agentJobMaxCpuSeconds: optional("agentJobMaxCpuSeconds", s.agentJobMaxCpuSeconds),
  };
  return { values, entries, file: file?.path ?? null };
}

function find<T>(
  name: SettingName,
  setting: Setting<T>,
  input: ConfigurationInput,
  file: ConfigurationFile | null,
): { value: T | null; text: string; source: string } {
  const given = (raw: unknown, where: string, source: string) => {
    const value = read(setting, raw, where);
    return { value, text: setting.kind.show(value), source };
  };
  const flag = input.flags[name];
  const flagName = flagOf(setting) ?? setting.key;
  if (flag !== undefined) return given(flag, flagName, `flag ${flagName}`);
  const variable = variableOf(setting);
  const fromEnv = input.env[variable];
  // An empty variable is how shells and container files leave one unset.
  if (fromEnv !== undefined && fromEnv !== "") return given(fromEnv, variable, `variable ${variable}`);
  if (file?.values.has(setting.key)) {
    return given(file.values.get(setting.key), `${file.path}: ${setting.key}`, `file ${file.path}`);
  }
  const former = formerVariable(setting, input.env);
  if (former !== null) return given(input.env[former], former, `variable ${former}`);
  return { value: setting.default, text: defaultTextOf(setting), source: "default" };
}

/** The name, as it is written there, of a variable of WhatsNext's server that is set; null when none is. */
function formerVariable(setting: Setting<unknown>, env: ConfigurationInput["env"]): string | null {
  if (setting.formerVariable === undefined) return null;
  const isSet = (name: string) => (env[name] ?? "").replace(/[,\s]/g, "") !== "";
  if (isSet(setting.formerVariable)) return setting.formerVariable;
  return (
    Object.keys(env).find((name) => name.toLowerCase() === setting.formerVariable && isSet(name)) ?? null
  );
}

function read<T>(setting: Setting<T>, raw: unknown, where: string): T {
  try {
    return setting.kind.read(raw);
  } catch (error) {
    if (!(error instanceof SettingValueError)) throw error;
    throw new UsageError(
      setting.isSecret === true ? `${where}: expected ${setting.kind.allowed}` : `${where}: ${error.message}`,
    );
  }
}
