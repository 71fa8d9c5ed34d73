/** `yardmaster up`: a server and an agent on this machine in one go. */
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { ExitError } from "../exitCode.ts";
import { localUrl } from "../listenAddress.ts";
import { LocalAgent } from "../localAgent.ts";
import { runServer } from "../runServer.ts";
import { listenForStop } from "../stopSignals.ts";
import { welcome } from "../welcome.ts";

export function upCommand(): Command {
  return declareCommand({
    usage: "up",
    summary: "start a server and an agent on this machine",
    description:
      "Start a server and an agent on this machine, which takes every job it can run. SIGINT or SIGTERM ends both in order: " +
      "running jobs are ended and put back. A second one ends at once. With --json one line of JSON says the addresses when it is ready.",
    settings: ["server", "agent"],
    examples: [
      ["yardmaster up", "on http://127.0.0.1:8000, with its data in ./yardmaster-data"],
      ["yardmaster up --listen 127.0.0.1:0 --data /tmp/try --cpu 2", "any free port, two jobs at a time"],
      ["npm start -- --listen 127.0.0.1:9000", "the same from a checkout"],
    ],
  }).action(async (_options: unknown, command: Command) => {
    const { terminal, isJson, values, configuration } = invoke(command);
    let agent: LocalAgent | null = null;
    const stop = listenForStop(() => agent?.kill());
    const server = await runServer(values);
    const [address] = server.addresses;
    if (address === undefined) throw new Error("the server has no address");
    agent = new LocalAgent({
      serverUrl: localUrl(address),
      stateDir: values.agentStateDir === null ? join(server.dataDir, "agent") : resolve(values.agentStateDir),
      configuration,
      apiKey: server.agentKey,
      onEnd: (message) => terminal.error(message),
    });
    welcome(terminal, server, isJson, true);
    try {
      const refusal = await Promise.race([stop.first, server.failed, agent.refused]);
      if (refusal instanceof ExitError) {
        await server.close();
        throw refusal;
      }
      terminal.note("stopping: running jobs are ended and put back; once more to end at once");
      // The agent first: it still has to tell the server what it puts back.
      await agent.stop();
      await server.close();
    } finally {
      agent.kill();
    }
    process.exit(0);
  });
}
