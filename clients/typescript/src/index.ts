/** Typed client for the Yardmaster job server. */
export {
  type CallOptions,
  type ClientOptions,
  isFinal,
  type JobFilter,
  type JobRef,
  type ListOptions,
  type LogOptions,
  type NewProject,
  type NewTask,
  type ProjectChange,
  type TaskChange,
  type WaitOptions,
  YardmasterClient,
} from "./client.ts";
export { ConnectionError, WaitTimeoutError, YardmasterError } from "./errors.ts";
export type { FollowLogOptions } from "./followLog.ts";
export type * from "./types.ts";
