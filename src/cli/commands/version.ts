/** `yardmaster version`. */
import type { Command } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { VERSION } from "../version.ts";

export function versionCommand(): Command {
  return declareCommand({
    usage: "version",
    summary: "print the version",
    settings: [],
    examples: [],
  }).action((_options: unknown, command: Command) => {
    const { terminal, isJson } = invoke(command);
    if (isJson) return terminal.json({ version: VERSION, bun: Bun.version });
    terminal.line(`yardmaster ${VERSION} (Bun ${Bun.version})`);
  });
}
