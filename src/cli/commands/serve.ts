/** `yardmaster serve`: the server alone. */
import type { Command } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { runServer } from "../runServer.ts";
import { listenForStop } from "../stopSignals.ts";
import { welcome } from "../welcome.ts";

export function serveCommand(): Command {
  return declareCommand({
    usage: "serve",
    summary: "start the server alone; agents come on their own",
    description:
      "Start the server alone, for teams that bring their own agents. With --json one line of JSON says the addresses when it is ready.",
    settings: ["server"],
    examples: [
      ["yardmaster serve", "on http://127.0.0.1:8000, with its data in ./yardmaster-data"],
      [
        "yardmaster serve --listen 127.0.0.1:9000 --listen [::1]:9000 --data /var/lib/yardmaster",
        "elsewhere",
      ],
    ],
  }).action(async (_options: unknown, command: Command) => {
    const { terminal, isJson, values } = invoke(command);
    const stop = listenForStop();
    const server = await runServer(values);
    welcome(terminal, server, isJson, false);
    await Promise.race([stop.first, server.failed]);
    terminal.note("stopping: requests under way are finished");
    await server.close();
    process.exit(0);
  });
}
