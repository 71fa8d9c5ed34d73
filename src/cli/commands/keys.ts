/** `yardmaster keys`: the API keys in the data folder of a server on this machine. */
import { resolve } from "node:path";
import { Command, Option } from "commander";
import { KEY_ROLES } from "../../server/access/apiKey.ts";
import { declareCommand, invoke } from "../commandLine.ts";
import { relativeTime } from "../duration.ts";
import { readFlag } from "../readFlag.ts";
import { choice } from "../settingKind.ts";
import { renderTable } from "../table.ts";
import { UsageError } from "../usageError.ts";

export function keysCommand(): Command {
  const keys = new Command("keys")
    .summary("create, list and revoke API keys")
    .description(
      "Create, list and revoke the API keys of a server, in the file keys.json of its data folder. A server that runs " +
        "notices within a second. As soon as there is one key, every request needs one.",
    );
  for (const command of [createCommand(), listCommand(), revokeCommand()]) keys.addCommand(command);
  return keys;
}

function createCommand(): Command {
  return declareCommand({
    usage: "create",
    summary: "create a key and print it, this once",
    description:
      "Create a key and print it, this once: the server keeps only its hash. Roles: read looks; submit reads, submits, " +
      "cancels, retries and deletes; work reads and does what agents do; admin does everything.",
    settings: [],
    alsoSettings: ["data"],
    examples: [
      ["yardmaster keys create --role submit --name ci", "for a program that submits jobs"],
      [
        'export YARDMASTER_API_KEY="$(yardmaster keys create --role admin --quiet)"',
        "for this shell, which sees it alone",
      ],
    ],
  })
    .addOption(
      new Option("--role <role>", `what the key allows: ${KEY_ROLES.join(", ")}`).makeOptionMandatory(),
    )
    .option("--name <name>", "who has it, to tell it by in lists", "")
    .action(async (options: { role: string; name: string }, command: Command) => {
      const { terminal, isJson, values } = invoke(command);
      const role = readFlag("--role", options.role, choice(KEY_ROLES));
      const { createKey, keyFilePath, MAX_KEY_NAME_LENGTH } = await import("../../server/access/keyFile.ts");
      if (options.name.length > MAX_KEY_NAME_LENGTH || /\p{C}/u.test(options.name)) {
        throw new UsageError(
          `--name: expected at most ${MAX_KEY_NAME_LENGTH} characters, none of them a control character`,
        );
      }
      const path = keyFilePath(resolve(values.data));
      const { key, stored } = createKey(path, role, options.name);
      const { sha256: _, ...shown } = stored;
      if (isJson) return terminal.json({ ...shown, key });
      terminal.line(key);
      terminal.note(`${stored.id}, role ${role}, is in ${path}; the key itself is not shown again`);
    });
}

function listCommand(): Command {
  return declareCommand({
    usage: "list",
    summary: "list the keys, without the keys themselves",
    settings: [],
    alsoSettings: ["data"],
    examples: [["yardmaster keys list --data /var/lib/yardmaster", "those of that server"]],
  }).action(async (_options: unknown, command: Command) => {
    const { terminal, isJson, values } = invoke(command);
    const { keyFilePath, readKeyFile } = await import("../../server/access/keyFile.ts");
    const path = keyFilePath(resolve(values.data));
    const keys = readKeyFile(path);
    if (isJson) return terminal.json(keys.map(({ sha256: _, ...shown }) => shown));
    if (keys.length === 0) {
      return terminal.note(`no keys in ${path}; make one with \`yardmaster keys create --role admin\``);
    }
    const now = Date.now();
    const rows = keys.map(({ id, role, name, createdAt }) => [id, role, name, relativeTime(createdAt, now)]);
    terminal.line(renderTable(["id", "role", "name", "created"], rows));
  });
}

function revokeCommand(): Command {
  return declareCommand({
    usage: "revoke <ids...>",
    summary: "take keys away",
    description: "Take keys away by their ids, all of them or, where one is unknown, none.",
    settings: [],
    alsoSettings: ["data"],
    examples: [["yardmaster keys revoke key_0a1b2c3d4e5f", "nobody gets in with it after a second"]],
  }).action(async (ids: readonly string[], _options: unknown, command: Command) => {
    const { terminal, isJson, values } = invoke(command);
    const { keyFilePath, revokeKeys } = await import("../../server/access/keyFile.ts");
    const left = revokeKeys(keyFilePath(resolve(values.data)), ids);
    if (isJson) return terminal.json({ revoked: ids, left });
    terminal.note(`revoked: ${ids.join(", ")}; ${left} left`);
    if (left > 0) return;
    terminal.note(
      "a server that runs goes on asking for keys; one that is started without any asks for none",
    );
  });
}
