/** The `yardmaster` command with all its subcommands. */
import { Command } from "commander";
import { agentCommand } from "./commands/agent.ts";
import { cancelCommand, deleteCommand, retryCommand } from "./commands/change.ts";
import { configCommand } from "./commands/config.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { jobCommand } from "./commands/job.ts";
import { jobsCommand } from "./commands/jobs.ts";
import { keysCommand } from "./commands/keys.ts";
import { logsCommand } from "./commands/logs.ts";
import { migrateStoreCommand } from "./commands/migrateStore.ts";
import { projectsCommand } from "./commands/projects.ts";
import { queuesCommand } from "./commands/queues.ts";
import { serveCommand } from "./commands/serve.ts";
import { submitCommand } from "./commands/submit.ts";
import { tasksCommand } from "./commands/tasks.ts";
import { upCommand } from "./commands/up.ts";
import { verifyCommand } from "./commands/verify.ts";
import { versionCommand } from "./commands/version.ts";
import { workersCommand } from "./commands/workers.ts";
import { VERSION } from "./version.ts";

export function yardmaster(): Command {
  const program = new Command("yardmaster")
    .description("A durable job server and the agents that run its jobs.")
    .version(VERSION, "-V, --version", "print the version")
    .helpCommand("help [command]", "help for a command")
    // `submit` leaves everything after the first word of its command to that command.
    .enablePositionalOptions()
    .addHelpText(
      "after",
      "\nStart here:\n  $ yardmaster up\n  $ yardmaster submit -- sh -c 'echo hello; exit 3'\n\n" +
        "Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 69 server unreachable, 130 interrupted.\n" +
        "`submit` ends with the exit code of its job.",
    );
  const groups: readonly (readonly [string, readonly Command[]])[] = [
    ["Run the server and agents:", [upCommand(), serveCommand(), agentCommand()]],
    [
      "Jobs:",
      [
        submitCommand(),
        jobsCommand(),
        jobCommand(),
        logsCommand(),
        verifyCommand(),
        cancelCommand(),
        retryCommand(),
        deleteCommand(),
      ],
    ],
    ["What there is:", [workersCommand(), queuesCommand(), projectsCommand(), tasksCommand()]],
    [
      "This installation:",
      [keysCommand(), configCommand(), doctorCommand(), migrateStoreCommand(), versionCommand()],
    ],
  ];
  for (const [heading, commands] of groups) {
    for (const command of commands)
      program.addCommand(command.helpGroup(heading).copyInheritedSettings(program));
  }
  return program;
}
