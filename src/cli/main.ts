/** Entry of the `yardmaster` command: runs it and turns every error into a message and an exit code. */

import type { Command } from "commander";
import { serverInForce } from "./commandLine.ts";
import { EXIT } from "./exitCode.ts";
import { endingOf } from "./faults.ts";
import { yardmaster } from "./program.ts";
import { Terminal } from "./terminal.ts";

const terminal = new Terminal({ isQuiet: false, env: process.env });

function end(error: unknown): never {
  const { exitCode, message } = endingOf(error, serverInForce());
  if (message !== "") terminal.error(message);
  process.exit(exitCode);
}

process.on("uncaughtException", end);
process.on("unhandledRejection", end);

function withSubcommands(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

const program = yardmaster();
for (const command of withSubcommands(program)) {
  command.exitOverride().configureOutput({
    writeOut: (text) => terminal.write(text),
    writeErr: (text) => terminal.writeError(text),
    outputError: (text, write) =>
      write(`${terminal.paintError("red", "yardmaster:")} ${text.replace(/^error: /, "")}`),
  });
}
try {
  if (process.argv.length <= 2) {
    program.outputHelp();
    process.exit(EXIT.usage);
  }
  await program.parseAsync(process.argv);
  process.exit(EXIT.ok);
} catch (error) {
  end(error);
}
