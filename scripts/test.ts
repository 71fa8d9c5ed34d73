/**
 * Runs the test suite and ends with one plain line, `N passed, N failed` (`, N skipped` when some were; the lines
 * before it say why).
 *
 * ```sh
 * npm test                      # everything but the long tests
 * npm test -- test/cli          # one folder
 * npm run test:kill             # the long kill tests alone
 * npm run test:soak             # the long tests of endurance alone
 * npm run test:sockets          # thousands of open sockets, and long logs to many readers
 * npm run test:training         # a real training, which needs a package index
 * ```
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { closingLine, readSummary, skipLines } from "./testSummary.ts";

const ROOT = resolve(import.meta.dir, "..");
const TEST_FOLDERS = ["test", "clients/typescript/test"];
/** Suites that take many minutes or need more than this machine; they run only when named. */
const LONG_FOLDERS = ["test/kill", "test/soak", "test/sockets", "test/training"];
/** One test may start real servers and agents on a busy machine. */
const TEST_TIMEOUT_MS = 180_000;

function testFilesUnder(folder: string, skipLong: boolean): string[] {
  const path = join(ROOT, folder);
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [folder];
  const files: string[] = [];
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(folder, entry.name);
    if (entry.name === "node_modules" || (skipLong && LONG_FOLDERS.includes(child))) continue;
    if (entry.isDirectory()) files.push(...testFilesUnder(child, skipLong));
    else if (/\.test\.tsx?$/.test(entry.name)) files.push(child);
  }
  return files.sort();
}

async function run(files: readonly string[], flags: readonly string[]): Promise<never> {
  const argv = ["test", `--timeout=${TEST_TIMEOUT_MS}`, ...flags, ...files.map((file) => `./${file}`)];
  const child = spawn(process.execPath, argv, { cwd: ROOT, stdio: ["ignore", "inherit", "pipe"] });
  const output: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => {
    output.push(chunk);
    process.stderr.write(chunk);
  });
  const exitCode = await new Promise<number>((done) => child.on("close", (code) => done(code ?? 1)));
  const summary = readSummary(Buffer.concat(output).toString(), exitCode);
  process.stdout.write(`${[...skipLines(summary), closingLine(summary)].join("\n")}\n`);
  process.exit(summary.failed > 0 || exitCode !== 0 ? 1 : 0);
}

const flags = process.argv.slice(2).filter((argument) => argument.startsWith("-"));
const named = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const folders = named.length > 0 ? named.map((path) => relative(ROOT, resolve(path))) : TEST_FOLDERS;
const files = folders.flatMap((folder) => testFilesUnder(folder, named.length === 0));
if (files.length === 0) {
  process.stderr.write(`no test file under ${folders.join(", ")}\n`);
  process.stdout.write("0 passed, 1 failed\n");
  process.exit(1);
}
await run(files, flags);
