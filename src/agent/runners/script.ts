/**
 * The `script` runner: a Python script that was uploaded, with its requirements and dataset; what it leaves in
 * `output/` is stored, and its provenance signed.
 */
import type { Runner } from "../runner.ts";
import { ScriptAttempt } from "../scripts/scriptAttempt.ts";
import type { ScriptServices } from "../scripts/scriptServices.ts";

/** Runs scripts with what the agent has for them. */
export function scriptRunner(services: ScriptServices): Runner {
  return { kind: "script", prepare: (context) => new ScriptAttempt(services, context).prepare() };
}
