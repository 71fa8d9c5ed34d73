/** The runners there are, by kind. A new kind of job is one file in `runners/` and one line here. */
import type { JobKind } from "../domain/job.ts";
import type { Runner } from "./runner.ts";
import { commandRunner } from "./runners/command.ts";

export const RUNNERS: ReadonlyMap<JobKind, Runner> = new Map(
  [commandRunner].map((runner) => [runner.kind, runner]),
);
