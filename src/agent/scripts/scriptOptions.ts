/** What an agent can be told about scripts, with every default in one place. */

/** Part of the agent's options. */
export interface ScriptOptions {
  /** The Python to run scripts with, as name or path; default `python3`. */
  python?: string | undefined;
  /** Makes environments with `uv` where it is installed; default true. */
  usesUv?: boolean | undefined;
  /** Environments kept on this machine; those used longest ago go first. Default 20. */
  maxEnvironments?: number | undefined;
  /** Longest time of one step of making an environment; default 30 minutes. */
  environmentTimeoutMs?: number | undefined;
  /** Pause between two looks at what scripts use; default 5,000. */
  usageEveryMs?: number | undefined;
  /** Largest model that is stored; default 16 GiB. */
  maxModelBytes?: number | undefined;
  /** Largest script that is fetched; default 64 MiB. */
  maxScriptBytes?: number | undefined;
}

/** The options in force. */
export type ScriptSettings = {
  readonly [Name in keyof Required<ScriptOptions>]: NonNullable<ScriptOptions[Name]>;
};

const MIB = 1024 ** 2;

/**
 * Fills in the defaults.
 *
 * @throws RangeError naming the option that is out of range.
 */
export function scriptSettings(options: ScriptOptions): ScriptSettings {
  const atLeastOne = (name: string, value: number): number => {
    if (Number.isInteger(value) && value >= 1) return value;
    throw new RangeError(`${name} must be a whole number of at least 1, not ${value}`);
  };
  return {
    python: options.python ?? "python3",
    usesUv: options.usesUv ?? true,
    maxEnvironments: atLeastOne("maxEnvironments", options.maxEnvironments ?? 20),
    environmentTimeoutMs: atLeastOne("environmentTimeoutMs", options.environmentTimeoutMs ?? 1_800_000),
    usageEveryMs: atLeastOne("usageEveryMs", options.usageEveryMs ?? 5_000),
    maxModelBytes: atLeastOne("maxModelBytes", options.maxModelBytes ?? 16 * 1024 * MIB),
    maxScriptBytes: atLeastOne("maxScriptBytes", options.maxScriptBytes ?? 64 * MIB),
  };
}

/** Says whether there is the Python that scripts are to run with. */
export function hasPython({ python }: ScriptSettings): boolean {
  return Bun.which(python) !== null;
}
