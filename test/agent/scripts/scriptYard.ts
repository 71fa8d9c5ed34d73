/** A real server and a real agent for scripts, in this process; what they make is gone when the test's `using` ends. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Job, type NewJob, type ScriptSpec, YardmasterClient } from "@yardmaster/client";
import { type RunningAgent, startAgent } from "../../../src/agent/agent.ts";
import type { AgentOptions } from "../../../src/agent/agentOptions.ts";
import { openEngine } from "../../../src/engine/openEngine.ts";
import { startTestServerWith } from "../../server/testServer.ts";
import { QUICK, RememberingLog } from "../testAgent.ts";

export interface ScriptYard extends AsyncDisposable {
  readonly client: YardmasterClient;
  readonly url: string;
  readonly folder: string;
  readonly log: RememberingLog;
  /** Starts another agent; each has a state folder of its own, all one cache. */
  agent(options?: AgentOptions): Promise<RunningAgent>;
  submit(script: string, spec?: Partial<ScriptSpec>, more?: Partial<NewJob>): Promise<Job>;
  /** Submits a script and waits for its end. */
  run(script: string, spec?: Partial<ScriptSpec>, more?: Partial<NewJob>): Promise<Job>;
  /** The job's whole output. */
  output(job: Job): Promise<string>;
}

export function sha256(data: string | Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(data).digest("hex");
}

export async function scriptYard(): Promise<ScriptYard> {
  const folder = mkdtempSync(join(tmpdir(), "yardmaster-scripts-"));
  const engine = await openEngine({ dataDir: join(folder, "data") });
  const server = await startTestServerWith(engine);
  const client = new YardmasterClient({ baseUrl: server.url });
  const log = new RememberingLog();
  const agents: RunningAgent[] = [];
  let started = 0;
  const submit: ScriptYard["submit"] = async (script, spec = {}, more = {}) => {
    const hash = sha256(script);
    await client.putArtifact(hash, script);
    return client.submit({ kind: "script", spec: { script: { sha256: hash }, ...spec }, ...more });
  };
  return {
    client,
    url: server.url,
    folder,
    log,
    async agent(options = {}) {
      const agent = await startAgent({
        ...QUICK,
        serverUrl: server.url,
        stateDir: join(folder, `agent-${++started}`),
        cacheDir: join(folder, "cache"),
        log,
        ...options,
      });
      agents.push(agent);
      return agent;
    },
    submit,
    async run(script, spec, more) {
      const job = await submit(script, spec, more);
      return client.wait(job.id, { timeoutMs: 50_000, maxPollMs: 100 });
    },
    output: async (job) => {
      const page = await client.log(job.id);
      return page.items.map(({ text }) => text).join("");
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(agents.map((agent) => agent.stop()));
      await server[Symbol.asyncDispose]();
      await engine.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Writes a package of one module, as a wheel that pip takes without an index; returns its folder. */
export async function writeWheel(
  folder: string,
  name: string,
  version: string,
  code: string,
): Promise<string> {
  const build = `
import sys, zipfile
folder, name, version, code = sys.argv[1:]
info = f"{name}-{version}.dist-info"
with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
    wheel.writestr(f"{name}.py", code)
    wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(f"{info}/RECORD", f"{name}.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n")
`;
  const file = join(folder, "build_wheel.py");
  writeFileSync(file, build);
  const child = Bun.spawn(["python3", file, folder, name, version, code], {
    stdout: "inherit",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error("cannot build a wheel");
  return folder;
}

/** Requirements that reach no outside host. */
export function offlineRequirements(wheels: string, ...lines: string[]): string {
  return ["--no-index", `--find-links ${wheels}`, ...lines].join("\n");
}
