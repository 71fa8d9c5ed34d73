/** Checks of what an agent can use on this machine. None of it is needed to run commands. */
import { cpus, totalmem } from "node:os";
import { formatByteSize } from "../byteSize.ts";
import { type Finding, ok, warn } from "./finding.ts";
import { isolationChecks } from "./isolationChecks.ts";
import { pythonCheck } from "./pythonCheck.ts";

const PROBE_TIMEOUT_MS = 10_000;

export async function agentChecks(): Promise<Finding[]> {
  return [machine(), accelerators(), pythonCheck(), ...(await isolationChecks())];
}

function machine(): Finding {
  return ok("machine", `${cpus().length} cores, ${formatByteSize(totalmem())} of memory`);
}

function accelerators(): Finding {
  const program = Bun.which("nvidia-smi");
  if (program === null) return ok("accelerators", "none (no nvidia-smi)");
  const run = Bun.spawnSync([program, "--query-gpu=index,name,memory.total", "--format=csv,noheader"], {
    timeout: PROBE_TIMEOUT_MS,
    stderr: "ignore",
  });
  const cards = run.stdout
    .toString()
    .trim()
    .split("\n")
    .filter((line) => line !== "");
  if (run.exitCode !== 0)
    return warn("accelerators", "nvidia-smi fails", "run it by hand: the driver may not be loaded");
  const [first = ""] = cards;
  return ok("accelerators", `${cards.length} (${first}): start agents with --accelerators ${cards.length}`);
}
