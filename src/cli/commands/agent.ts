/** `yardmaster agent`: claims jobs from a server and runs them on this machine. */
import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Command, Option } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { EXIT, ExitError } from "../exitCode.ts";
import { messageOf } from "../faults.ts";
import { STOP_WORD } from "../localAgent.ts";
import type { SettingValues } from "../settings.ts";
import { UsageError } from "../usageError.ts";

export function agentCommand(): Command {
  return declareCommand({
    usage: "agent",
    summary: "run jobs of a server on this machine",
    description:
      "Run jobs of a server on this machine. SIGTERM drains: no new jobs, those that run may finish. SIGINT, or a second " +
      "SIGTERM, stops: running jobs are ended and put back.",
    settings: ["client", "agent"],
    examples: [
      ["yardmaster agent", "all queues, all cores, of the server on this machine"],
      [
        "yardmaster agent --server http://10.0.0.5:8000 --queue gpu --accelerators 4 --label gpu=a100",
        "one of a team's",
      ],
    ],
    hasJson: false,
  })
    .addOption(new Option("--exit-with-parent", "stop when standard input ends").hideHelp())
    .action(async (options: { exitWithParent?: boolean }, command: Command) => {
      const { terminal, values, configuration, client } = invoke(command);
      const { IsolationUnavailableError, startAgent, StateDirInUseError } = await import(
        "../../agent/agent.ts"
      );
      const start = (stateDir: string) =>
        startAgent({
          serverUrl: client.baseUrl,
          apiKey: values.apiKey ?? undefined,
          workerId: values.agentId ?? undefined,
          name: values.agentName ?? undefined,
          queues: values.agentQueues,
          cpu: values.agentCpu ?? undefined,
          accelerators: values.agentAccelerators,
          memoryMb: values.agentMemoryMb ?? undefined,
          labels: values.agentLabels,
          stateDir,
          graceMs: values.agentGraceMs,
          drainTimeoutMs: values.agentDrainTimeoutMs,
          maxLogBytes: values.agentMaxLogBytes,
          workspaceLimitMb: values.agentWorkspaceLimitMb,
          cacheDir: values.agentCacheDir === null ? undefined : resolve(values.agentCacheDir),
          cacheBytes: values.agentCacheBytes,
          maxBinaryBytes: values.agentMaxBinaryBytes,
          downloadTimeoutMs: values.agentDownloadTimeoutMs,
          downloadIdleTimeoutMs: values.agentDownloadIdleTimeoutMs,
          allowUrlPrefixes: values.agentAllowUrlPrefixes,
          allowLinkLocal: values.agentAllowLinkLocal,
          python: values.agentPython,
          maxEnvironments: values.agentMaxEnvironments,
          environmentTimeoutMs: values.agentEnvironmentTimeoutMs,
          maxModelBytes: values.agentMaxModelBytes,
          usageEveryMs: values.agentUsageEveryMs,
          isolation: values.agentIsolation,
          isolateKinds: values.agentIsolateKinds ?? undefined,
          jobNetwork: values.agentJobNetwork ?? undefined,
          bindReadOnly: values.agentBindReadOnly.map((path) => resolve(path)),
          bind: values.agentBind.map((path) => resolve(path)),
          // The keys of a server on this machine, and the file that may hold ours.
          hide: [values.data, ...(configuration.file === null ? [] : [configuration.file])].map((path) =>
            resolve(path),
          ),
          jobMaxMemoryMb: values.agentJobMaxMemoryMb,
          jobMaxProcesses: values.agentJobMaxProcesses,
          jobMaxCpuSeconds: values.agentJobMaxCpuSeconds,
        }).catch((error) => {
          // To start it again would not help.
          const isUnfit = options.exitWithParent === true && error instanceof IsolationUnavailableError;
          throw isUnfit ? new ExitError(EXIT.unfit, error.message) : error;
        });
      refuseAbsentPaths(values);
      refuseUselessCache(values);
      const agent =
        values.agentStateDir === null
          ? await startInFreeFolder(resolve(values.data), start, StateDirInUseError)
          : await start(resolve(values.agentStateDir));
      const stop = (): void => void agent.stop();
      if (options.exitWithParent === true) {
        // A parent that lives says what it wants; one that was killed took the server with it.
        void wordBeforeEnd().then((word) => agent.stop({ isServerGone: word !== STOP_WORD }));
      } else terminal.note(`agent ${agent.workerId} works for ${client.baseUrl}`);
      let asked = 0;
      const onSignal = (signal: NodeJS.Signals): void => {
        asked += 1;
        if (asked > 2) process.exit(1);
        if (signal === "SIGTERM" && asked === 1) {
          terminal.note("draining: jobs that run may finish; once more to stop them");
          void agent.drain();
        } else stop();
      };
      process.on("SIGTERM", onSignal);
      process.on("SIGINT", onSignal);
      await agent.finished;
      process.exit(0);
    });
}

/** A path that is not there would fail every isolated job. */
function refuseAbsentPaths({ agentBindReadOnly, agentBind }: SettingValues): void {
  const given = { "--bind-ro": agentBindReadOnly, "--bind": agentBind };
  for (const [flag, paths] of Object.entries(given)) {
    const absent = paths.find((path) => !existsSync(path));
    if (absent !== undefined) throw new UsageError(`${flag}: ${absent} does not exist`);
  }
}

/** Every binary would fail there. Without the setting an agent that runs none needs no cache. */
function refuseUselessCache({ agentCacheDir }: SettingValues): void {
  if (agentCacheDir === null) return;
  try {
    mkdirSync(agentCacheDir, { recursive: true, mode: 0o700 });
    accessSync(agentCacheDir, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UsageError(`--cache-dir: cannot be used: ${messageOf(error)}`);
  }
}

/** Agents on one machine that nobody gave a folder of their own. */
const MAX_UNNAMED_AGENTS = 100;

/**
 * Every agent needs a folder of its own; the first agent of a data folder, the one of `up` as a rule, has
 * `agent`, those started beside it have `agent-2`, `agent-3` and so on.
 */
async function startInFreeFolder<Agent>(
  dataDir: string,
  start: (stateDir: string) => Promise<Agent>,
  inUse: new (message: string) => Error,
): Promise<Agent> {
  for (let number = 1; ; number++) {
    try {
      return await start(join(dataDir, number === 1 ? "agent" : `agent-${number}`));
    } catch (error) {
      if (!(error instanceof inUse) || number >= MAX_UNNAMED_AGENTS) throw error;
    }
  }
}

/** A parent says no more than one word. */
const MAX_WORD_CHARS = 100;

/** Our parent holds the other end of standard input: it ends when the parent does, however that happens. */
async function wordBeforeEnd(): Promise<string> {
  let said = "";
  const decoder = new TextDecoder();
  try {
    for await (const chunk of Bun.stdin.stream()) {
      said = (said + decoder.decode(chunk, { stream: true })).slice(0, MAX_WORD_CHARS);
    }
  } catch {
    // A broken input is an ended one.
  }
  return said.trim();
}
