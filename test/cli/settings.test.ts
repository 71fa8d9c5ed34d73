import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolveConfiguration } from "../../src/cli/configuration.ts";
import { SETTING_NAMES, SETTINGS, variableOf } from "../../src/cli/settings.ts";
import { UsageError } from "../../src/cli/usageError.ts";
import { Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
afterAll(() => scratch.dispose());

function withFile(toml: string) {
  const file = join(scratch.folder, `${crypto.randomUUID()}.toml`);
  writeFileSync(file, toml);
  return (flags: Record<string, unknown> = {}, env: Record<string, string> = {}) =>
    resolveConfiguration({ flags, env, configFile: file, cwd: scratch.folder });
}

function sourceOf(configuration: ReturnType<typeof resolveConfiguration>, key: string): string | undefined {
  return configuration.entries.find((entry) => entry.key === key)?.source;
}

describe("configuration", () => {
  test("flags win over variables, variables over the file, the file over defaults", () => {
    const resolve = withFile('data = "from-file"\nlease-ms = "1m"\n[agent]\ncpu = 3\n');
    expect(resolve().values).toMatchObject({
      data: "from-file",
      leaseMs: 60_000,
      agentCpu: 3,
      logLevel: "info",
    });
    const env = { YARDMASTER_DATA: "from-env", YARDMASTER_AGENT_CPU: "5" };
    expect(resolve({}, env).values).toMatchObject({ data: "from-env", agentCpu: 5 });
    const all = resolve({ data: "from-flag" }, env);
    expect(all.values.data).toBe("from-flag");
    expect(sourceOf(all, "data")).toBe("flag --data");
    expect(sourceOf(all, "agent.cpu")).toBe("variable YARDMASTER_AGENT_CPU");
    expect(sourceOf(all, "lease-ms")).toStartWith("file ");
    expect(sourceOf(all, "log-level")).toBe("default");
  });

  test("an empty variable is an unset one", () => {
    expect(withFile("")({}, { YARDMASTER_DATA: "" }).values.data).toBe("./yardmaster-data");
  });

  test("durations, sizes, lists and labels are read in their written forms", () => {
    const { values } = withFile(
      'listen = ["127.0.0.1:1", "[::1]:2"]\nretain-failed-ms = "never"\nmax-body-bytes = "1MiB"\n[agent]\nlabel = { gpu = "a100" }\n',
    )({}, { YARDMASTER_AGENT_QUEUE: "a, b", YARDMASTER_RETAIN_SUCCEEDED_MS: "1h30m" });
    expect(values).toMatchObject({
      listen: ["127.0.0.1:1", "[::1]:2"],
      retainFailedMs: null,
      retainSucceededMs: 5_400_000,
      maxBodyBytes: 1024 ** 2,
      agentLabels: { gpu: "a100" },
      agentQueues: ["a", "b"],
    });
  });

  test.each([
    ['datta = "x"', "datta: no such setting; did you mean data?"],
    ["lease-ms = 5", "lease-ms: expected a duration"],
    ['[agent]\ncpu = "many"', 'agent.cpu: expected a whole number from 0 to 1000000, got "many"'],
    ["agent = 3", "agent: expected a section [agent]"],
    ['log-level = "loud"', "log-level: expected one of debug, info, warn, error, silent"],
    ["= 1", "is no valid TOML"],
  ])("a wrong file names itself, the key and what is allowed: %s", (toml, message) => {
    expect(withFile(toml)).toThrow(UsageError);
    expect(withFile(toml)).toThrow(message);
    expect(withFile(toml)).toThrow(".toml");
  });

  test("a wrong variable or flag is named", () => {
    const resolve = withFile("");
    expect(() => resolve({}, { YARDMASTER_AGENT_GRACE_MS: "soon" })).toThrow(
      "YARDMASTER_AGENT_GRACE_MS: expected",
    );
    expect(() => resolve({ agentLabels: ["x"] })).toThrow("--label: expected labels such as gpu=a100");
  });

  test("every value reads back from what is shown", () => {
    for (const name of SETTING_NAMES) {
      const setting = SETTINGS[name];
      const probe = (read: (raw: unknown) => unknown, show: (value: never) => string, value: unknown) =>
        expect(read(show(value as never))).toEqual(value);
      if (setting.default !== null && JSON.stringify(setting.default) !== "{}") {
        probe(
          (raw) => setting.kind.read(raw),
          (value) => setting.kind.show(value),
          setting.default,
        );
      }
      expect(variableOf(setting)).toMatch(/^YARDMASTER_[A-Z0-9_]+$/);
    }
  });

  test("the command shows values with their sources, and no secret", async () => {
    const { stdout, exitCode } = await scratch.run(["config", "--json", "--cpu", "7"], {
      YARDMASTER_API_KEY: "s3cret",
    });
    expect(exitCode).toBe(0);
    expect(stdout).not.toContain("s3cret");
    const { settings } = JSON.parse(stdout);
    expect(settings).toContainEqual({ key: "agent.cpu", value: 7, source: "flag --cpu" });
    expect(settings).toContainEqual({ key: "api-key", value: "***", source: "variable YARDMASTER_API_KEY" });
  });

  test("a wrong file ends the command with 2", async () => {
    writeFileSync(join(scratch.folder, "bad.toml"), "nonsense = 1\n");
    const { stderr, exitCode } = await scratch.run(["config", "--config", "bad.toml"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("bad.toml: nonsense: no such setting");
  });
});
