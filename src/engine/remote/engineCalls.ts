/**
 * Calls by name. The arguments come from `RemoteEngine`, which is compiled against the same interfaces: a
 * call is what the method of that name declares.
 */

import type { Task } from "../../domain/project.ts";
import type { SubmitReceipt, SubmitRequest } from "../engine.ts";
import type { StoreOnlyReads } from "../engineReads.ts";
import type { LocalEngine } from "../localEngine.ts";
import type { Made } from "../submittedJob.ts";
import type { CallContext } from "./rpcServer.ts";

/** A receipt as it travels: jobs whole, or what the engine added to what was asked. */
export type WireReceipt =
  | SubmitReceipt
  | { readonly made: readonly Made[]; readonly tasks?: readonly Task[] };

export function callEngine(
  engine: LocalEngine,
  method: string,
  args: readonly unknown[],
  { signal, bytes }: CallContext,
): Promise<unknown> {
  switch (method) {
    case "submit":
      return callSubmit(engine, ...(args as [Parameters<LocalEngine["submit"]>[0]]), bytes);
    case "claim":
      return engine.claim(...(args as [Parameters<LocalEngine["claim"]>[0]]), signal());
    case "finish":
      return engine.finish(...(args as [Parameters<LocalEngine["finish"]>[0]]), bytes);
    case "appendLog":
      return engine.appendLog(...(args as [Parameters<LocalEngine["appendLog"]>[0]]), bytes);
    case "appendLines":
      return engine.appendLines(...(args as [Parameters<LocalEngine["appendLines"]>[0]]), bytes);
    case "addRecords":
      return engine.addRecords(...(args as [Parameters<LocalEngine["addRecords"]>[0]]), bytes);
    case "putDocuments":
      return engine.putDocuments(...(args as [Parameters<LocalEngine["putDocuments"]>[0]]), bytes);
    case "renew":
      return engine.renew(...(args as Parameters<LocalEngine["renew"]>));
    case "cancel":
      return engine.cancel(...(args as Parameters<LocalEngine["cancel"]>));
    case "retry":
      return engine.retry(...(args as Parameters<LocalEngine["retry"]>));
    case "edit":
      return engine.edit(...(args as Parameters<LocalEngine["edit"]>));
    case "removePending":
      return engine.removePending(...(args as [number]));
    case "heartbeatWorker":
      return engine.heartbeatWorker(...(args as [string]));
    case "releaseWorker":
      return engine.releaseWorker(...(args as [string]));
    case "deleteWorker":
      return engine.deleteWorker(...(args as [string]));
    case "remove":
      return engine.remove(...(args as Parameters<LocalEngine["remove"]>));
    case "registerWorker":
      return engine.registerWorker(...(args as Parameters<LocalEngine["registerWorker"]>));
    case "describeWorker":
      return engine.describeWorker(...(args as Parameters<LocalEngine["describeWorker"]>));
    case "drainWorker":
      return engine.drainWorker(...(args as Parameters<LocalEngine["drainWorker"]>));
    case "createProject":
      return engine.createProject(...(args as Parameters<LocalEngine["createProject"]>));
    case "updateProject":
      return engine.updateProject(...(args as Parameters<LocalEngine["updateProject"]>));
    case "deleteProject":
      return engine.deleteProject(...(args as Parameters<LocalEngine["deleteProject"]>));
    case "createTask":
      return engine.createTask(...(args as Parameters<LocalEngine["createTask"]>));
    case "updateTask":
      return engine.updateTask(...(args as Parameters<LocalEngine["updateTask"]>));
    case "deleteTask":
      return engine.deleteTask(...(args as Parameters<LocalEngine["deleteTask"]>));
    case "workers":
      return engine.read.workers();
    case "worker":
      return engine.read.worker(...(args as [string]));
    case "stats":
      return engine.read.stats();
    case "figures":
      return engine.figures();
    case "close":
      return engine.close();
    default:
      return Promise.reject(new Error(`the engine has no method ${method}`));
  }
}

/** What the caller has sent is not sent back: only what the engine made of it. */
async function callSubmit(engine: LocalEngine, request: SubmitRequest, bytes: number): Promise<WireReceipt> {
  const receipt = await engine.submit(request, bytes);
  if (receipt.repeated) return receipt;
  return {
    ...(receipt.tasks === undefined ? {} : { tasks: receipt.tasks }),
    made: receipt.jobs.map(({ id, key, state, dependsOn, createdAt, readyAt }) => ({
      id,
      key,
      state,
      dependsOn,
      createdAt,
      readyAt,
    })),
  };
}

export function callReads(reads: StoreOnlyReads, method: string, args: readonly unknown[]): Promise<unknown> {
  switch (method) {
    case "job":
      return reads.job(...(args as Parameters<StoreOnlyReads["job"]>));
    case "jobs":
      return reads.jobs(...(args as Parameters<StoreOnlyReads["jobs"]>));
    case "count":
      return reads.count(...(args as Parameters<StoreOnlyReads["count"]>));
    case "tallies":
      return reads.tallies(...(args as Parameters<StoreOnlyReads["tallies"]>));
    case "attempts":
      return reads.attempts(...(args as Parameters<StoreOnlyReads["attempts"]>));
    case "dependencies":
      return reads.dependencies(...(args as Parameters<StoreOnlyReads["dependencies"]>));
    case "events":
      return reads.events(...(args as Parameters<StoreOnlyReads["events"]>));
    case "log":
      return reads.log(...(args as Parameters<StoreOnlyReads["log"]>));
    case "records":
      return reads.records(...(args as Parameters<StoreOnlyReads["records"]>));
    case "recentLog":
      return reads.recentLog(...(args as Parameters<StoreOnlyReads["recentLog"]>));
    case "mentions":
      return reads.mentions(...(args as Parameters<StoreOnlyReads["mentions"]>));
    case "document":
      return reads.document(...(args as Parameters<StoreOnlyReads["document"]>));
    case "projects":
      return reads.projects(...(args as Parameters<StoreOnlyReads["projects"]>));
    case "project":
      return reads.project(...(args as Parameters<StoreOnlyReads["project"]>));
    case "tasks":
      return reads.tasks(...(args as Parameters<StoreOnlyReads["tasks"]>));
    case "task":
      return reads.task(...(args as Parameters<StoreOnlyReads["task"]>));
    case "dialectOfWorker":
      return reads.dialectOfWorker(...(args as [string]));
    case "ping":
      return reads.ping();
    default:
      return Promise.reject(new Error(`the reads have no method ${method}`));
  }
}
