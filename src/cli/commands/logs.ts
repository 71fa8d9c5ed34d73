/** `yardmaster logs ID`: a job's output, whole, its end, or as it appears. */
import { type Command, Option } from "commander";
import { declareCommand, invoke, jobRef } from "../commandLine.ts";
import { EXIT } from "../exitCode.ts";
import { readOptionalFlag } from "../readFlag.ts";
import { integer } from "../settingKind.ts";
import { systemLine } from "../systemLine.ts";

const COUNT = integer("n", 1, 1_000_000);

interface Options {
  follow?: boolean;
  tail?: string;
  attempt?: string;
  stream?: "stdout" | "stderr";
}

export function logsCommand(): Command {
  return declareCommand({
    usage: "logs <job>",
    summary: "print a job's output",
    description:
      "Print a job's output. What the job wrote to stdout goes to stdout, what it wrote to stderr to stderr. " +
      "With --json every piece is one line of JSON: seq, time, stream, text.",
    settings: ["client"],
    examples: [
      ["yardmaster logs 12", "all of it"],
      ["yardmaster logs 12 --follow", "and go on until the job ends"],
      ["yardmaster logs 12 --tail 20 --stream stderr", "the last 20 lines of stderr"],
    ],
  })
    .option("-f, --follow", "go on until the job ends")
    .option("-n, --tail <n>", "only the last lines, this many")
    .option("--attempt <n>", "output of this attempt instead of the last one")
    .addOption(new Option("--stream <stream>", "only this stream").choices(["stdout", "stderr"]))
    .action(async (text: string, options: Options, command: Command) => {
      const { client, patientClient, terminal, isJson } = invoke(command);
      const ref = jobRef(text);
      const filter = {
        tail: readOptionalFlag("--tail", options.tail, COUNT),
        attempt: readOptionalFlag("--attempt", options.attempt, COUNT),
        stream: options.stream,
      };
      const print = (chunk: { readonly stream: string; readonly text: string }): void => {
        if (isJson) terminal.jsonLine(chunk);
        else if (chunk.stream === "stdout") terminal.write(chunk.text);
        else if (chunk.stream === "stderr") terminal.writeError(chunk.text);
        else terminal.note(systemLine(chunk.text));
      };
      if (options.follow === true) {
        process.once("SIGINT", () => process.exit(EXIT.interrupted));
        for await (const chunk of patientClient.followLog(ref, filter)) print(chunk);
        return;
      }
      // Page after page, so that a log larger than memory can be read. A tail is one page.
      let after: number | undefined;
      for (;;) {
        const page = await client.log(ref, { ...filter, after });
        for (const chunk of page.items) print(chunk);
        if (page.items.length === 0 || filter.tail !== undefined) return;
        after = page.next;
      }
    });
}
