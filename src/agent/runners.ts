/** The runners there are, by kind. A new kind of job is one file in `runners/` and one line in each list here. */
import type { JobKind } from "../domain/job.ts";
import type { BinaryCache } from "./binaries/binaryCache.ts";
import type { OwnServer } from "./binaries/source.ts";
import type { Runner } from "./runner.ts";
import { binaryRunner } from "./runners/binary.ts";
import { commandRunner } from "./runners/command.ts";
import { scriptRunner } from "./runners/script.ts";
import type { ScriptServices } from "./scripts/scriptServices.ts";

/** Kinds that an agent can run. */
export const RUNNABLE_KINDS: readonly JobKind[] = ["command", "binary", "script"];

/** What runners use of the agent. */
export interface RunnerServices {
  readonly binaries: BinaryCache;
  readonly server: OwnServer;
  readonly scripts: ScriptServices;
}

/** The runners of one agent. */
export function runnersOf({ binaries, server, scripts }: RunnerServices): ReadonlyMap<JobKind, Runner> {
  return new Map(
    [commandRunner, binaryRunner(binaries, server), scriptRunner(scripts)].map((runner) => [
      runner.kind,
      runner,
    ]),
  );
}
