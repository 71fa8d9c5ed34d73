/** `yardmaster migrate-store`: moves an installation from its data folder to PostgreSQL. */
import { resolve } from "node:path";
import type { Command } from "commander";
import type { MigrationProgress, MigrationReport } from "../../store/migrate/migrateStore.ts";
import { blobPlaceOf } from "../blobPlace.ts";
import { formatByteSize } from "../byteSize.ts";
import { declareCommand, invoke } from "../commandLine.ts";
import { readFlag } from "../readFlag.ts";
import { databaseUrl } from "../settingKind.ts";
import { renderTable } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usageError.ts";

/** A line a table and second is enough for a log. */
const NOTE_EVERY_MS = 1_000;

export function migrateStoreCommand(): Command {
  return declareCommand({
    usage: "migrate-store",
    summary: "move a stopped server's data from its folder to PostgreSQL",
    description:
      "Move a stopped server's data from its folder to an empty PostgreSQL database: all tables, and the artifacts where " +
      "--blobs names a bucket. The folder is only read. What was moved is compared row by row and then put in force at " +
      "once; until then no server can see it. Ended in the middle, the same command goes on where it was.",
    settings: [],
    alsoSettings: ["blobs", "s3Endpoint", "s3Region"],
    examples: [
      [
        "yardmaster migrate-store --from sqlite:/var/lib/yardmaster --to postgres://yardmaster@db.internal/yardmaster",
        "with the password in PGPASSWORD",
      ],
      [
        "YARDMASTER_STORE=postgres://… yardmaster migrate-store --from sqlite:./yardmaster-data --blobs s3://bucket/yard",
        "the artifacts too, to a bucket",
      ],
    ],
  })
    .requiredOption("--from <store>", "the data folder, as sqlite:FOLDER")
    .option("--to <url>", "the database (default: the setting store; others can read a command line)")
    .option("--start-over", "throw away what an unfinished move has brought there")
    .action(async (options: { from: string; to?: string; startOver?: boolean }, command: Command) => {
      const { terminal, isJson, values } = invoke(command);
      const fromDir = folderOf(options.from);
      const toUrl = options.to === undefined ? values.store : readFlag("--to", options.to, databaseUrl());
      if (toUrl === null) {
        throw new UsageError(
          "--to: name the database, such as postgres://user@host/database, here or in YARDMASTER_STORE",
        );
      }
      const place = blobPlaceOf(values, process.env);
      const [{ migrateStore }, { openBlobStore }] = await Promise.all([
        import("../../store/migrate/migrateStore.ts"),
        import("../../store/blobs/openBlobStore.ts"),
      ]);
      const report = await migrateStore({
        fromDir,
        toUrl,
        blobs: place.address === null ? null : () => openBlobStore({ ...place, dataDir: fromDir }),
        startOver: options.startOver === true,
        onProgress: progressNotes(terminal),
      });
      if (isJson) terminal.json(report);
      else show(terminal, report);
    });
}

function folderOf(from: string): string {
  const folder = /^sqlite:(.+)$/.exec(from)?.[1];
  if (folder === undefined)
    throw new UsageError(`--from: expected sqlite:FOLDER, got ${JSON.stringify(from)}`);
  return resolve(folder);
}

/** Writes what is done, at most one line a second and table. */
function progressNotes(terminal: Terminal): (progress: MigrationProgress) => void {
  let last = "";
  let lastAt = 0;
  return ({ step, table, done, total }) => {
    const what = table ?? step;
    const isEnd = done === total && done > 0;
    if (last === `${step} ${what}` && !isEnd && Date.now() - lastAt < NOTE_EVERY_MS) return;
    last = `${step} ${what}`;
    lastAt = Date.now();
    switch (step) {
      case "resume":
        return terminal.note("an unfinished move is there: going on with it");
      case "move":
        return terminal.note(`moving ${what}: ${done} of ${total}`);
      case "artifacts":
        return terminal.note(`copying artifacts: ${done}`);
      case "compare":
        return terminal.note(`comparing ${what}: ${done} of ${total}`);
      case "done":
        return terminal.note("everything is there and the same; it is in force now");
    }
  };
}

function show(terminal: Terminal, { from, to, tables, artifacts }: MigrationReport): void {
  terminal.line(
    renderTable(
      ["table", "rows", "checksum"],
      tables.map(({ table, rows, checksum }) => [table, String(rows), checksum]),
    ),
  );
  if (artifacts !== null) {
    terminal.line(`${artifacts.count} artifacts, ${formatByteSize(artifacts.bytes)}`);
  }
  terminal.note(
    `${from} was moved to ${to}. Start servers with --store; keys.json and token-secret stay in ${from}`,
  );
}
