/** The attempts of a job as a table. */
import type { Attempt } from "@yardmaster/client";
import { renderTable } from "./table.ts";

export function attemptTable(attempts: readonly Attempt[]): string {
  const rows = attempts.map((attempt) => [
    String(attempt.number),
    attempt.outcome ?? "running",
    attempt.workerId ?? "-",
    attempt.startedAt ?? "-",
    attempt.endedAt ?? "-",
    attempt.exitCode === null ? "-" : String(attempt.exitCode),
    attempt.error ?? "",
  ]);
  return renderTable(["attempt", "outcome", "worker", "started", "ended", "exit", "error"], rows);
}
