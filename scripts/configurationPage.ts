/** The page about configuration, made from the table of settings. */
import {
  defaultTextOf,
  flagOf,
  SETTING_NAMES,
  SETTINGS,
  type SettingGroup,
  variableOf,
} from "../src/cli/settings.ts";

const HEADINGS: Readonly<Record<SettingGroup, string>> = {
  client: "Commands and agents: which server",
  server: "Server (`serve`, `up`)",
  agent: "Agent (`agent`, `up`)",
};

const INTRODUCTION = `# Configuration

<!-- Made from src/cli/settings.ts by \`npm run docs\`. -->

Every setting can be given as a flag, as a variable, or in a file. A flag wins over a variable, a variable over the
file, the file over the default. \`yardmaster config\` prints what is in force and where each value comes from.

The file is TOML: \`./yardmaster.toml\` if it is there, or the one that \`--config FILE\` or \`YARDMASTER_CONFIG\` names. A key
that is no setting, or a value that does not fit, is an error that names the file and the key.

\`\`\`toml
listen = ["127.0.0.1:8000", "[::1]:8000"]
data = "/var/lib/yardmaster"
retain-succeeded-ms = "7d"

[agent]
cpu = 8
queue = ["default", "gpu"]
label = { gpu = "a100" }
\`\`\`

Durations are written \`500ms\`, \`90s\`, \`5m\`, \`1h30m\`, \`7d\`, or as a number of milliseconds; sizes \`512KiB\`, \`64MiB\`, \`2GiB\`, or as a
number of bytes. In a variable the parts of a list stand with commas between them.
`;

/** The whole page. */
export function configurationPage(): string {
  const sections = Object.entries(HEADINGS).map(([group, heading]) => {
    const rows = SETTING_NAMES.filter((name) => SETTINGS[name].group === group).map(row);
    return `## ${heading}\n\n| key in the file | flag | variable | default | what it does |\n|---|---|---|---|---|\n${rows.join("\n")}\n`;
  });
  return `${INTRODUCTION}\n${sections.join("\n")}`;
}

function row(name: (typeof SETTING_NAMES)[number]): string {
  const setting = SETTINGS[name];
  const flagName = flagOf(setting);
  const flag = flagName === null ? "(none: others can read a command line)" : `\`${flagName}\``;
  const allowed = setting.kind.allowed;
  const former =
    "formerVariable" in setting ? ` Read from WhatsNext's \`${setting.formerVariable}\` too.` : "";
  const text = `${setting.description} Allowed: ${allowed}.${former}`;
  const cells = [`\`${setting.key}\``, flag, `\`${variableOf(setting)}\``, defaultTextOf(setting), text];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
