/** The WhatsNext client library: submit jobs to a project's queue, and run them. */
export type { Json, JsonObject } from "../types.ts";
export { Client, type StopOptions, type WorkOptions } from "./client.ts";
export type { ClientOptions } from "./clientOptions.ts";
export { CLIFormatter, type CLIFormatterOptions } from "./cliFormatter.ts";
export type { CallOptions } from "./connection.ts";
export {
  ConnectionError,
  EmptyQueueError,
  FormatError,
  HttpError,
  type ValidationIssue,
} from "./errors.ts";
export { type ExecuteOptions, Formatter, type FormatterOptions } from "./formatter.ts";
export { Job, type JobDependencies, type JobOptions } from "./job.ts";
export { type FetchJobOptions, Project } from "./project.ts";
export { RUNAIFormatter, type RUNAIFormatterOptions } from "./runaiFormatter.ts";
export type { JobOutcome, JobResource, RunOptions } from "./runJob.ts";
export {
  type ClientInfo,
  type ListClientsOptions,
  type ListProjectsOptions,
  Server,
  type ServerOptions,
} from "./server.ts";
export { SlurmFormatter, type SlurmFormatterOptions } from "./slurmFormatter.ts";
export type { Task, TaskOptions } from "./tasks.ts";
export type { JobStatus, ProjectStatus } from "./wire.ts";
