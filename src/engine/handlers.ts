/**
 * Which function runs which command, and in which order the kinds run within a commit.
 *
 * What frees and creates work goes before what takes it, so a claim sees the jobs that its own commit made
 * ready. All commands of a commit are concurrent to their callers, so any order is a right one.
 */
import { appendLogs } from "./appendLogs.ts";
import type { Handler } from "./batch.ts";
import { cancelJobs, removeJobs, retryJobs } from "./changeJobs.ts";
import { claimJobs } from "./claimJobs.ts";
import type { CommandName } from "./commands.ts";
import { finishJobs } from "./finishJobs.ts";
import { maintain } from "./maintain.ts";
import {
  createProjects,
  createTasks,
  deleteProjects,
  deleteTasks,
  updateProjects,
  updateTasks,
} from "./manageProjects.ts";
import { drainWorkers, listWorkers, registerWorkers } from "./manageWorkers.ts";
import { renewLeases } from "./renewLeases.ts";
import { submitJobs } from "./submitJobs.ts";

export const HANDLERS: { readonly [Name in CommandName]: Handler<Name> } = {
  createProject: createProjects,
  updateProject: updateProjects,
  createTask: createTasks,
  updateTask: updateTasks,
  registerWorker: registerWorkers,
  drainWorker: drainWorkers,
  listWorkers,
  appendLog: appendLogs,
  renew: renewLeases,
  finish: finishJobs,
  cancel: cancelJobs,
  retry: retryJobs,
  remove: removeJobs,
  deleteTask: deleteTasks,
  deleteProject: deleteProjects,
  submit: submitJobs,
  maintain,
  claim: claimJobs,
};

/** Order of the kinds within a commit. */
export const COMMAND_ORDER: readonly CommandName[] = [
  "createProject",
  "updateProject",
  "createTask",
  "updateTask",
  "registerWorker",
  "drainWorker",
  "listWorkers",
  "appendLog",
  "renew",
  "finish",
  "cancel",
  "retry",
  "remove",
  "deleteTask",
  "deleteProject",
  "submit",
  "maintain",
  "claim",
];
