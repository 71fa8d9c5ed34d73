/** The client of the Executr API: submit programs by address and checksum, and run them. */
export {
  type AllOptions,
  type CallOptions,
  ExecutrClient,
  type ExecutrClientOptions,
  isFinal,
  type JobFilter,
  type ListOptions,
  type WaitOptions,
} from "./client.ts";
export { ConnectionError, ExecutrError, WaitTimeoutError } from "./errors.ts";
export type * from "./wire.ts";
