/** `yardmaster workers`: the agents and other workers that the server knows, and draining one. */
import type { Worker } from "@yardmaster/client";
import type { Command } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { relativeTime } from "../duration.ts";
import { renderTable } from "../table.ts";
import type { Colour, Terminal } from "../terminal.ts";

const WORKER_COLOUR: Readonly<Record<Worker["state"], Colour>> = {
  online: "green",
  draining: "yellow",
  offline: "gray",
};

export function workersCommand(): Command {
  return declareCommand({
    usage: "workers",
    summary: "list workers: agents and others",
    settings: ["client"],
    examples: [
      ["yardmaster workers", "who is there, and with what"],
      ["yardmaster workers --drain WORKER", "let one finish what it holds and give it nothing more"],
    ],
  })
    .option("--drain <worker>", "drain the worker with this id")
    .action(async (options: { drain?: string }, command: Command) => {
      const { client, terminal, isJson } = invoke(command);
      if (options.drain !== undefined) {
        const worker = await client.drainWorker(options.drain);
        return isJson ? terminal.json(worker) : terminal.note(`worker ${worker.id} is ${worker.state}`);
      }
      const workers = await client.workers();
      if (isJson) return terminal.json(workers);
      if (workers.length === 0) return terminal.note("no workers; start one with `yardmaster agent`");
      terminal.line(workerTable(terminal, workers));
    });
}

function workerTable(terminal: Terminal, workers: readonly Worker[]): string {
  const now = Date.now();
  const rows = workers.map((worker) => [
    worker.id,
    worker.name,
    terminal.paint(WORKER_COLOUR[worker.state], worker.state),
    worker.queues.join(","),
    String(worker.capacity.cpu),
    String(worker.capacity.accelerators),
    String(worker.capacity.memoryMb),
    loadOf(worker),
    String(worker.counts.running),
    String(worker.counts.succeeded),
    String(worker.counts.failed),
    relativeTime(worker.lastSeenAt, now),
  ]);
  const headings = [
    "id",
    "name",
    "state",
    "queues",
    "cpu",
    "accel",
    "MiB",
    "load",
    "running",
    "ok",
    "failed",
    "seen",
  ];
  return renderTable(headings, rows);
}

/** Use of the processors and of the memory; a dash where it does not tell now. */
function loadOf({ load, state }: Worker): string {
  if (load === null || state === "offline") return "-";
  return `${Math.round(load.cpuPercent)}%/${Math.round(load.memoryPercent)}%`;
}
