/** `yardmaster config`: every setting in force, and where its value comes from. */
import type { Command } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { renderTable } from "../table.ts";

export function configCommand(): Command {
  return declareCommand({
    usage: "config",
    summary: "show every setting in force and its source",
    description:
      "Show every setting in force and where its value comes from: a flag, a YARDMASTER_* variable, the " +
      "configuration file, or the default. Secrets are masked.",
    settings: ["client", "server", "agent"],
    examples: [
      ["yardmaster config", "as a table"],
      ["yardmaster config --config site.toml --json", "what that file would give, as JSON"],
    ],
  }).action((_options: unknown, command: Command) => {
    const { terminal, isJson, configuration } = invoke(command);
    if (isJson) {
      const settings = configuration.entries.map(({ key, value, source }) => ({ key, value, source }));
      return terminal.json({ file: configuration.file, settings });
    }
    const rows = configuration.entries.map(({ key, text, source }) => [
      key,
      text,
      source === "default" ? terminal.paint("gray", source) : source,
    ]);
    terminal.line(renderTable(["setting", "value", "source"], rows));
  });
}
