/** What an error of the database or of the way to it means for who asked. */
import postgres from "postgres";
import { StoreUnavailableError } from "../../domain/errors.ts";

/** The store of this address cannot be used; the message says why, for the person who starts the server. */
export class StoreRefusedError extends Error {
  override readonly name = "StoreRefusedError";
}

/**
 * The connection was lost while a commit was under way, and nobody could be asked whether it was made: what was
 * asked may or may not have been done.
 */
export class UnknownOutcomeError extends StoreUnavailableError {}

/**
 * How often a transaction that lost against another one is worth another try: it may well succeed. Two servers that
 * insert the same key need one: looked at again, the key is taken, and whoever asked is told so.
 */
export function conflictTries(error: unknown): number {
  if (!(error instanceof postgres.PostgresError)) return 0;
  switch (error.code) {
    case "40001":
    case "40P01":
      return 8;
    case "23505":
      return 2;
    default:
      return 0;
  }
}

/** Why the database cannot be used now, in words; null when the error is of another kind. */
export function unavailableReason(error: unknown): string | null {
  if (error instanceof postgres.PostgresError) return reasonOfState(error.code, error.message);
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return null;
  return reasonOfConnection(error.code);
}

function reasonOfState(code: string, message: string): string | null {
  switch (code) {
    case "25006":
      return "it is read-only";
    case "53100":
      return "its disk is full";
    case "53200":
      return "it is out of memory";
    case "53300":
      return "it takes no more connections";
    case "57P01":
      return "the connection was ended by its administrator";
    case "57P02":
      return "it crashed and is starting again";
    case "57P03":
      return "it is starting or shutting down";
    case "57P04":
      return "the database was dropped";
    case "25P03":
    case "57P05":
      return "it ended a connection that stood still";
    case "57014":
      return "it took longer than it may";
    case "28P01":
    case "28000":
      return "it refuses the user or the password";
  }
  // Connection exceptions, lack of resources, system errors, corruption.
  return /^(08|53|57P|58|XX)/.test(code) ? message : null;
}

function reasonOfConnection(code: string): string | null {
  switch (code) {
    case "ECONNREFUSED":
    case "FailedToOpenSocket":
      return "nothing answers at its address";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the name of its host is not known";
    case "ETIMEDOUT":
    case "CONNECT_TIMEOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "its host does not answer";
    case "ENOENT":
      return "its socket is not there";
    case "ECONNRESET":
    case "EPIPE":
    case "ECONNABORTED":
    case "CONNECTION_CLOSED":
    case "CONNECTION_ENDED":
    case "CONNECTION_DESTROYED":
      return "the connection was lost";
    default:
      return null;
  }
}

/** Whether the fault is one of the way to the database, or of a time in which it restarts or is handed over. */
export function isPassing(error: unknown): boolean {
  if (error instanceof postgres.PostgresError) return /^(08|57P0[1235]|25006|25P03|53300)/.test(error.code);
  return unavailableReason(error) !== null;
}
