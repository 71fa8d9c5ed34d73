/**
 * Which room may import which: `cli → server, agent → dialects → engine → store → domain`, as one table,
 * and the check of one file against it.
 */
import { posix } from "node:path";

/** One import that runs the wrong way. */
export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** Rooms that each room may import besides itself. The SDK stands apart: it imports nothing of ours. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  store: ["domain"],
  engine: ["store", "domain"],
  dialects: ["engine", "store", "domain"],
  server: ["dialects", "engine", "store", "domain"],
  agent: ["domain"],
  dashboard: ["domain"],
  cli: ["server", "agent", "domain"],
};

/** Files of other rooms that the command line starts things with; everything else in them is out of its reach. */
const CLI_ENTRY_POINTS: readonly string[] = [
  "src/server/startServer.ts",
  "src/server/logger.ts",
  "src/server/access/apiKey.ts",
  "src/server/access/keyFile.ts",
  "src/server/access/tokenSecret.ts",
  "src/dialects/whatsnext/whatsnextDialect.ts",
  "src/dialects/executr/executrDialect.ts",
  "src/dialects/shelby/shelbyDialect.ts",
  "src/engine/openEngine.ts",
  "src/engine/engine.ts",
  "src/store/blobs/openBlobStore.ts",
  "src/store/blobs/s3Address.ts",
  "src/store/migrate/migrateStore.ts",
  "src/agent/agent.ts",
  "src/agent/agentOptions.ts",
  "src/agent/isolation/machineReport.ts",
];

/** Rooms that may use the SDK: those that reach a server as its users do. */
const SDK_USERS: readonly string[] = ["agent", "cli", "dashboard"];

const SPECIFIER =
  /(?:^|[\s;])(?:import|export)\s+(?:type\s+)?(?:[\w*{][^"';]*?\sfrom\s+)?["']([^"'\n]+)["']|\bimport\s*\(\s*["']([^"'\n]+)["']\s*\)|\bnew URL\(\s*["'](\.{1,2}\/[^"'\n]+\.ts)["']/g;

/** Room of a file of ours: `store` for `src/store/sqlite/x.ts`, `sdk` for the client; null outside both. */
function roomOf(file: string): string | null {
  if (file.startsWith("clients/typescript/src/")) return "sdk";
  return /^src\/([^/]+)\//.exec(file)?.[1] ?? null;
}

/** Replaces comments by blanks of the same length, so that examples in them are no imports and lines keep their number. */
function withoutComments(source: string): string {
  const blank = (text: string): string => text.replaceAll(/[^\n]/g, " ");
  return source.replaceAll(/\/\*[\s\S]*?\*\//g, blank).replaceAll(/^\s*\/\/.*$/gm, blank);
}

function complaint(file: string, room: string, specifier: string): string | null {
  const isRelative = specifier.startsWith(".");
  if (isRelative && !/\.(ts|tsx|json|html|css)$/.test(specifier))
    return `"${specifier}" needs its file ending`;
  if (specifier.startsWith("@yardmaster/client")) {
    return SDK_USERS.includes(room) ? null : `${room} may not use the SDK; only ${SDK_USERS.join(", ")} may`;
  }
  if (!isRelative) {
    const isOurRule = room === "sdk" || room === "domain";
    return isOurRule ? `${room} may import nothing from outside, found "${specifier}"` : null;
  }
  const target = posix.normalize(posix.join(posix.dirname(file), specifier));
  const targetRoom = roomOf(target);
  if (targetRoom === room) return null;
  if (target === "package.json" && room !== "sdk" && room !== "domain") return null;
  if (room === "sdk") return `the SDK may import nothing outside its own folder, found "${specifier}"`;
  if (targetRoom === "sdk") return `reach the SDK as "@yardmaster/client", not by the path "${specifier}"`;
  if (room === "cli" && targetRoom !== null && targetRoom !== "domain") {
    return CLI_ENTRY_POINTS.includes(target)
      ? null
      : `cli may import of other rooms only domain and ${CLI_ENTRY_POINTS.join(", ")}, found "${target}"`;
  }
  const allowed = ALLOWED[room];
  if (allowed === undefined) return `no rule for the room "${room}": add it to scripts/importRules.ts`;
  if (targetRoom !== null && allowed.includes(targetRoom)) return null;
  return `${room} may import ${allowed.length === 0 ? "no other room" : allowed.join(", ")}, found "${target}"`;
}

/**
 * Every import of one file that runs the wrong way; type imports count too.
 *
 * @param file path from the repository's root, with `/`
 * @param source the file's text
 */
export function checkImports(file: string, source: string): Violation[] {
  const room = roomOf(file);
  if (room === null) return [];
  const code = withoutComments(source);
  const violations: Violation[] = [];
  for (const match of code.matchAll(SPECIFIER)) {
    const specifier = match[1] ?? match[2] ?? match[3];
    if (specifier === undefined) continue;
    const message = complaint(file, room, specifier);
    if (message === null) continue;
    const line = code.slice(0, match.index + match[0].lastIndexOf(specifier)).split("\n").length;
    violations.push({ file, line, message });
  }
  return violations;
}
