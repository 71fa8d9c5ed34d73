/** What `up` and `serve` print when they are ready. */

import { localUrl } from "./listenAddress.ts";
import type { OpenServer } from "./runServer.ts";
import { SETTINGS } from "./settings.ts";
import type { Terminal } from "./terminal.ts";
import { VERSION } from "./version.ts";

/** How the user reaches this command from a shell. */
function commandName(): string {
  return Bun.which("yardmaster") === null ? "npx --no-install yardmaster" : "yardmaster";
}

/** Says where to look and what to try; as JSON, one line that programs can wait for. */
export function welcome(terminal: Terminal, server: OpenServer, isJson: boolean, isAgentHere: boolean): void {
  const urls = server.addresses.map((address) => address.url);
  if (isJson) {
    terminal.jsonLine({ addresses: urls, data: server.dataDir, pid: process.pid });
    return;
  }
  const [first] = server.addresses;
  if (terminal.isQuiet || first === undefined) return;
  const url = localUrl(first);
  const flag = url === SETTINGS.server.default ? "" : `--server ${url} `;
  const rows: (readonly [string, string])[] = [
    ["listening on", urls.join(", ")],
    ["API", `${url}/v1`],
    ["API pages", `${url}/docs (Swagger UI), ${url}/redoc`],
    ["metrics", `${url}/metrics`],
    ["data", server.dataDir],
    ...(server.hasKeys
      ? [["API keys", "needed; commands take theirs from YARDMASTER_API_KEY"] as const]
      : []),
  ];
  terminal.line(terminal.paint("bold", `Yardmaster ${VERSION} is ready`));
  for (const [word, value] of rows) terminal.line(`  ${terminal.paint("gray", word.padEnd(12))} ${value}`);
  terminal.line("Try in another terminal:");
  if (!isAgentHere) terminal.line(`  ${commandName()} agent ${flag}`.trimEnd());
  terminal.line(`  ${commandName()} submit ${flag}-- sh -c 'echo hello; exit 3'`);
}
