/**
 * Which function runs which command, and in which order the kinds run within a commit.
 *
 * What frees and creates work goes before what takes it, so a claim sees the jobs that its own commit made
 * ready. All commands of a commit are concurrent to their callers, so any order is a right one.
 */
import { appendLogs } from "./appendLogs.ts";
import type { Handler } from "./batch.ts";
import { cancelJobs, removeJobs, removePendingJobs, retryJobs } from "./changeJobs.ts";
import { claimJobs } from "./claimJobs.ts";
import type { CommandName } from "./commands.ts";
import { editJobs } from "./editJobs.ts";
import { finishJobs } from "./finishJobs.ts";
import { addRecords, appendLines, putDocuments } from "./jobNotes.ts";
import { maintain } from "./maintain.ts";
import {
  createProjects,
  createTasks,
  deleteProjects,
  deleteTasks,
  updateProjects,
  updateTasks,
} from "./manageProjects.ts";
import {
  deleteWorkers,
  describeWorkers,
  drainWorkers,
  heartbeatWorkers,
  listWorkers,
  registerWorkers,
  releaseWorkers,
} from "./manageWorkers.ts";
import { renewLeases } from "./renewLeases.ts";
import { submitJobs } from "./submitJobs.ts";

export const HANDLERS: { readonly [Name in CommandName]: Handler<Name> } = {
  createProject: createProjects,
  updateProject: updateProjects,
  createTask: createTasks,
  updateTask: updateTasks,
  registerWorker: registerWorkers,
  describeWorker: describeWorkers,
  drainWorker: drainWorkers,
  heartbeatWorker: heartbeatWorkers,
  releaseWorker: releaseWorkers,
  deleteWorker: deleteWorkers,
  listWorkers,
  appendLog: appendLogs,
  appendLines,
  addRecords,
  putDocuments,
  renew: renewLeases,
  finish: finishJobs,
  cancel: cancelJobs,
  retry: retryJobs,
  edit: editJobs,
  remove: removeJobs,
  removePending: removePendingJobs,
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
  "describeWorker",
  "drainWorker",
  "heartbeatWorker",
  "releaseWorker",
  "deleteWorker",
  "listWorkers",
  "appendLog",
  "appendLines",
  "addRecords",
  "putDocuments",
  "renew",
  "finish",
  "cancel",
  "retry",
  "edit",
  "remove",
  "removePending",
  "deleteTask",
  "deleteProject",
  "submit",
  "maintain",
  "claim",
];
