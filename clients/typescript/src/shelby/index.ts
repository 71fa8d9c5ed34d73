/** The client of the ShelbyCompute API: create jobs, follow them live, and run them. */
export {
  type CallOptions,
  type FollowOptions,
  isFinal,
  ShelbyClient,
  type ShelbyClientOptions,
  type WaitOptions,
} from "./client.ts";
export { ConnectionError, ShelbyError, WaitTimeoutError } from "./errors.ts";
export type { OpenSocket, SocketEvents } from "./live.ts";
export { acknowledgementSignature } from "./signature.ts";
export type * from "./wire.ts";
