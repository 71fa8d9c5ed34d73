/** `yardmaster doctor`: what is in order on this machine, what is not, and what to do. */
import type { Command } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { agentChecks } from "../doctor/agentChecks.ts";
import type { Finding, Verdict } from "../doctor/finding.ts";
import { serverChecks } from "../doctor/serverChecks.ts";
import { EXIT, ExitError } from "../exitCode.ts";
import type { Colour } from "../terminal.ts";

const VERDICT_COLOUR: Readonly<Record<Verdict, Colour>> = { ok: "green", warn: "yellow", fail: "red" };

export function doctorCommand(): Command {
  return declareCommand({
    usage: "doctor",
    summary: "check this machine and the server",
    description:
      "Check this machine and the server: each line says ok, warn or fail, and what to do. Ends with 1 when a check fails.",
    settings: ["client", "server"],
    examples: [
      ["yardmaster doctor", "before the first start, or when something is odd"],
      ["yardmaster doctor --server http://10.0.0.5:8000 --json", "from an agent's machine, as JSON"],
    ],
  }).action(async (_options: unknown, command: Command) => {
    const { terminal, isJson, values, client } = invoke(command);
    const findings: Finding[] = [...(await serverChecks(values, client.baseUrl)), ...(await agentChecks())];
    if (isJson) terminal.json(findings);
    else {
      for (const finding of findings) {
        const verdict = terminal.paint(VERDICT_COLOUR[finding.verdict], finding.verdict.padEnd(4));
        terminal.line(`${verdict}  ${finding.check.padEnd(11)} ${finding.detail}`);
        if (finding.advice !== null)
          terminal.line(`${" ".repeat(18)}${terminal.paint("gray", finding.advice)}`);
      }
    }
    if (findings.some((finding) => finding.verdict === "fail")) throw new ExitError(EXIT.failed);
  });
}
