/** The agent's own log: what happened to it, never what jobs write. */
import pino from "pino";

/** Facts that go with a message. Never keys or a job's environment. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

export interface AgentLog {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** JSON lines on standard error. */
export function defaultAgentLog(): AgentLog {
  const logger = pino({ name: "agent" }, pino.destination({ dest: 2, sync: true }));
  return {
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
  };
}
