/** What all commands share: how they are declared, their common flags, and what an action is given. */
import { YardmasterClient } from "@yardmaster/client";
import { Command, Option } from "commander";
import { type Configuration, resolveConfiguration } from "./configuration.ts";
import {
  defaultTextOf,
  flagOf,
  SETTING_NAMES,
  SETTINGS,
  type SettingGroup,
  type SettingName,
  type SettingValues,
  variableOf,
} from "./settings.ts";
import { Terminal } from "./terminal.ts";
import { UsageError } from "./usageError.ts";

export interface CommandDeclaration {
  /** Name with its arguments: `logs <job>`. */
  readonly usage: string;
  readonly summary: string;
  /** Paragraph for the command's own help; absent is the summary. */
  readonly description?: string;
  /** Settings whose flags the command takes. */
  readonly settings: readonly SettingGroup[];
  /** Further settings whose flags it takes. */
  readonly alsoSettings?: readonly SettingName[];
  /** Command lines with what they do. */
  readonly examples: readonly (readonly [line: string, explanation: string])[];
  /** False for commands that print no result of their own. */
  readonly hasJson?: boolean;
}

/** What an action works with. */
export interface Invocation {
  readonly terminal: Terminal;
  readonly isJson: boolean;
  readonly configuration: Configuration;
  readonly values: SettingValues;
  /** Speaks to the server in force; gives up soon, as a person would. */
  readonly client: YardmasterClient;
  /** The same for long waits: sits out a restart of the server. */
  readonly patientClient: YardmasterClient;
}

const MAX_RETRIES = 2;
const PATIENT_MAX_RETRIES = 12;

/** A command with its help, examples and common flags; the caller adds its own flags and action. */
export function declareCommand(declaration: CommandDeclaration): Command {
  const command = new Command();
  const [name = "", ...parameters] = declaration.usage.split(" ");
  command
    .name(name)
    .summary(declaration.summary)
    .description(declaration.description ?? declaration.summary);
  for (const parameter of parameters) command.argument(parameter);
  for (const settingName of SETTING_NAMES) {
    const setting = SETTINGS[settingName];
    const isTaken =
      declaration.settings.includes(setting.group) ||
      declaration.alsoSettings?.includes(settingName) === true;
    const flag = flagOf(setting);
    if (isTaken && flag !== null) command.addOption(settingOption(settingName, flag));
  }
  command.option("--config <file>", "configuration file (default: ./yardmaster.toml if there is one)");
  if (declaration.hasJson !== false) command.option("--json", "print the result as JSON");
  command.option("-q, --quiet", "print results and errors only");
  const examples = declaration.examples.map(([line, explanation]) => `  $ ${line}\n      ${explanation}`);
  if (examples.length > 0) command.addHelpText("after", `\nExamples:\n${examples.join("\n")}`);
  return command;
}

/** Adds up the values of a flag that can be given several times. */
export function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}

function settingOption(name: SettingName, flagName: string): Option {
  const setting = SETTINGS[name];
  const { placeholder, isList } = setting.kind;
  const flag = placeholder === null ? flagName : `${flagName} <${placeholder}>`;
  const text = `${setting.description} (default: ${defaultTextOf(setting)}; env: ${variableOf(setting)})`;
  const option = new Option(flag, text);
  return isList ? option.argParser(collect) : option;
}

let serverUsed = "the server";

/** Address of the server that the command talked to, for messages. */
export function serverInForce(): string {
  return serverUsed;
}

/** Resolves settings and makes what an action works with. */
export function invoke(command: Command): Invocation {
  const options: Readonly<Record<string, unknown>> = command.opts();
  const flags: Partial<Record<SettingName, unknown>> = {};
  for (const option of command.options) {
    const name = SETTING_NAMES.find((candidate) => flagOf(SETTINGS[candidate]) === option.long);
    const value = options[option.attributeName()];
    if (name !== undefined && value !== undefined && isSettingOption(option, name)) flags[name] = value;
  }
  const configFile = options.config;
  const configuration = resolveConfiguration({
    flags,
    env: process.env,
    configFile: typeof configFile === "string" ? configFile : null,
    cwd: process.cwd(),
  });
  const { values } = configuration;
  const connection = { baseUrl: serverUrl(values.server), apiKey: values.apiKey ?? undefined };
  serverUsed = connection.baseUrl;
  return {
    terminal: new Terminal({ isQuiet: options.quiet === true, env: process.env }),
    isJson: options.json === true,
    configuration,
    values,
    client: new YardmasterClient({ ...connection, maxRetries: MAX_RETRIES }),
    patientClient: new YardmasterClient({ ...connection, maxRetries: PATIENT_MAX_RETRIES }),
  };
}

/** `submit --cpu` is the need of a job, `agent --cpu` a setting: only flags made from the table are settings. */
function isSettingOption(option: Option, name: SettingName): boolean {
  return option.description.endsWith(`env: ${variableOf(SETTINGS[name])})`);
}

function serverUrl(text: string): string {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    throw new UsageError(
      `the server's address ${JSON.stringify(text)} is no URL such as http://127.0.0.1:8000`,
    );
  }
  return url.href.replace(/\/+$/, "");
}

/** A job as the user names it: digits are its id, anything else its key. */
export function jobRef(text: string): number | string {
  return /^[1-9]\d{0,15}$/.test(text) ? Number(text) : text;
}
