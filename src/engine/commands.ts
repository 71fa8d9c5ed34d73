/**
 * What callers ask of the engine, as values: so they can wait in a queue, travel to another thread, and be
 * run together in one commit.
 */
import type { Job, JsonObject } from "../domain/job.ts";
import type { Project, Task } from "../domain/project.ts";
import type { Resources } from "../domain/resources.ts";
import type { Worker, WorkerRegistration } from "../domain/worker.ts";
import type { Claimant } from "./claimant.ts";
import type {
  AddRecordsRequest,
  AppendLogRequest,
  ClaimedJob,
  ClaimRequest,
  DocumentChange,
  FinishRequest,
  JobEdit,
  JobRef,
  NewLine,
  ProjectChange,
  RegisteredWorker,
  RenewAnswer,
  RenewRequest,
  ResultAnswer,
  SubmitReceipt,
  SubmitRequest,
  TaskChange,
} from "./engine.ts";

/** Request and answer of each command. */
export interface CommandTypes {
  submit: { request: SubmitRequest; answer: SubmitReceipt };
  claim: {
    request: ClaimRequest;
    /** Who was given nothing may wait, as the worker that it is; null is one that may have no jobs now. */
    answer: { readonly jobs: readonly ClaimedJob[]; readonly claimant: Claimant | null };
  };
  renew: { request: RenewRequest; answer: RenewAnswer };
  finish: { request: FinishRequest; answer: readonly ResultAnswer[] };
  appendLog: { request: AppendLogRequest; answer: number };
  appendLines: { request: { lines: readonly NewLine[] }; answer: null };
  addRecords: { request: AddRecordsRequest; answer: number };
  putDocuments: { request: { documents: readonly DocumentChange[] }; answer: null };
  cancel: { request: { job: JobRef; reason: string | null; onlyPending: boolean }; answer: Job };
  retry: { request: { job: JobRef; runAt: number | null }; answer: Job };
  edit: { request: { job: JobRef; change: JobEdit }; answer: Job };
  remove: { request: { job: JobRef; force: boolean }; answer: null };
  /** Deletes some; zero when none is left. */
  removePending: { request: { projectId: number }; answer: number };
  registerWorker: { request: WorkerRegistration; answer: RegisteredWorker };
  describeWorker: { request: { id: string; details: JsonObject }; answer: Worker };
  drainWorker: { request: { id: string }; answer: Worker };
  heartbeatWorker: { request: { id: string }; answer: Worker };
  releaseWorker: { request: { id: string }; answer: Worker };
  deleteWorker: { request: { id: string }; answer: null };
  /** Null is all of them. */
  listWorkers: { request: { ids: readonly string[] | null }; answer: readonly Worker[] };
  createProject: { request: { name: string; description: string | null }; answer: Project };
  updateProject: { request: { id: number; change: ProjectChange }; answer: Project };
  /** Deletes some of its jobs, or, when none is left, the project and its tasks; says whether it is gone. */
  deleteProject: { request: { id: number }; answer: boolean };
  createTask: {
    request: {
      name: string;
      projectId: number | null;
      commandTemplate: string | null;
      resources: Partial<Resources>;
    };
    answer: Task;
  };
  updateTask: { request: { id: number; change: TaskChange }; answer: Task };
  deleteTask: { request: { id: number }; answer: boolean };
  /** One round of upkeep: leases that ran out, jobs whose time has come, finished jobs past their keep. */
  maintain: {
    request: {
      /** Workers heard from since the last round. */
      seen: readonly { id: string; lastSeenAt: number }[];
      /** Most jobs that ended in one commit since then: how many end is how many must be deleted. Null deletes none. */
      mostEnded: number | null;
    };
    answer: { hasMore: boolean; nextDueAt: number | null };
  };
}

export type CommandName = keyof CommandTypes;
export type Request<Name extends CommandName> = CommandTypes[Name]["request"];
export type Answer<Name extends CommandName> = CommandTypes[Name]["answer"];
