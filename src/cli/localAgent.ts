/** The agent that `up` keeps beside the server: a child process, started again when it crashes. */
import type { Configuration } from "./configuration.ts";
import { EXIT, ExitError } from "./exitCode.ts";
import { SETTING_NAMES, SETTINGS, type Setting, variableOf } from "./settings.ts";

/** Said to an agent that is to stop while its server still serves. */
export const STOP_WORD = "stop";

const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 30_000;
/** An agent that ran this long crashed for a new reason: begin with the first pause again. */
const HEALTHY_AFTER_MS = 60_000;
/** How long an ending agent may take: its jobs' grace and the delivery of what they left. */
const STOP_TIMEOUT_MS = 30_000;

export interface LocalAgentOptions {
  readonly serverUrl: string;
  /** Absolute. */
  readonly stateDir: string;
  readonly configuration: Configuration;
  /** Sent to the server. Passed in the environment: others can read a command line. */
  readonly apiKey: string;
  /** Told when the agent ended by itself. */
  readonly onEnd: (message: string) => void;
}

/** The command that runs this program again, compiled into one executable or not. */
export function ownCommand(): readonly string[] {
  return Bun.main.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, Bun.main];
}

export class LocalAgent {
  /** How `up` ends when no agent runs here with these settings, which the agent has explained; else pending. */
  readonly refused: Promise<ExitError>;
  readonly #refuse: (error: ExitError) => void;
  readonly #options: LocalAgentOptions;
  #child: Bun.Subprocess<"pipe", "inherit", "inherit"> | null = null;
  #isStopping = false;
  #wake: () => void = () => {};

  constructor(options: LocalAgentOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<ExitError>();
    this.refused = promise;
    this.#refuse = resolve;
    void this.#keepRunning();
  }

  /** Ends the agent in order: running jobs are ended and put back. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#wake();
    const child = this.#child;
    if (child === null) return;
    child.stdin.write(STOP_WORD);
    child.stdin.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await child.exited;
    clearTimeout(timer);
  }

  /** Ends the agent at once; its watchdog ends its jobs. */
  kill(): void {
    this.#isStopping = true;
    this.#child?.kill("SIGKILL");
  }

  async #keepRunning(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    let wasHealthy = false;
    while (!this.#isStopping) {
      const startedAt = Date.now();
      const child = this.#spawn();
      this.#child = child;
      const exitCode = await child.exited;
      this.#child = null;
      if (this.#isStopping) return;
      if (exitCode === 0) {
        this.#options.onEnd(
          "the agent was drained and has ended; jobs wait for other agents, or for the next `up`",
        );
        return;
      }
      if (Date.now() - startedAt >= HEALTHY_AFTER_MS) {
        wasHealthy = true;
        pauseMs = FIRST_PAUSE_MS;
      }
      // Where one ran before, the machine has changed: that may pass, and the server has other agents.
      if (!wasHealthy && (exitCode === EXIT.usage || exitCode === EXIT.unfit)) {
        this.#refuse(
          new ExitError(
            EXIT.failed,
            "no agent runs here with these settings; `yardmaster serve` starts the server alone",
          ),
        );
        return;
      }
      const how = child.signalCode === null ? `with exit code ${exitCode}` : `by ${child.signalCode}`;
      this.#options.onEnd(`the agent ended ${how}; it is started again in ${pauseMs / 1_000} s`);
      await new Promise<void>((done) => {
        const timer = setTimeout(done, pauseMs);
        this.#wake = () => {
          clearTimeout(timer);
          done();
        };
      });
      pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2);
    }
  }

  #spawn(): Bun.Subprocess<"pipe", "inherit", "inherit"> {
    return Bun.spawn([...ownCommand(), "agent", "--exit-with-parent"], {
      // Our end of this pipe closes when we end, also by kill -9: the agent stops then.
      stdin: "pipe",
      stdout: "inherit",
      stderr: "inherit",
      env: { ...withoutServerSecrets(process.env), ...this.#environment() },
      // A session of its own: Ctrl-C in the terminal reaches us alone, and we stop the agent in order.
      detached: true,
    });
  }

  /** The agent's settings in force, flags included, as variables: a secret has no flag, and the file was read already. */
  #environment(): Record<string, string> {
    const { configuration, serverUrl, stateDir, apiKey } = this.#options;
    const env: Record<string, string> = {
      YARDMASTER_SERVER: serverUrl,
      YARDMASTER_AGENT_STATE_DIR: stateDir,
      [variableOf(SETTINGS.apiKey)]: apiKey,
    };
    for (const name of SETTING_NAMES) {
      const setting = SETTINGS[name];
      const entry = configuration.entries.find(({ key }) => key === setting.key);
      if (setting.group !== "agent" || name === "agentStateDir" || entry === undefined) continue;
      if (entry.source !== "default") env[variableOf(setting)] = entry.text;
    }
    return env;
  }
}

/** The agent has a key of its own and no business with those that the server takes, nor with those of its stores. */
function withoutServerSecrets(env: Readonly<Record<string, string | undefined>>) {
  const secrets = SETTING_NAMES.map((name): Setting<unknown> => SETTINGS[name])
    .filter(({ group, isSecret }) => group === "server" && isSecret === true)
    .flatMap((setting) => [variableOf(setting), setting.formerVariable])
    .map((name) => name?.toLowerCase());
  return Object.fromEntries(Object.entries(env).filter(([name]) => !secrets.includes(name.toLowerCase())));
}
