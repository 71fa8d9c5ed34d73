/** SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once. */
import { EXIT } from "./exitCode.ts";

/** Signals as they come. */
export interface StopSignals {
  /** Resolves with the first. */
  readonly first: Promise<NodeJS.Signals>;
}

/** @param onSecond what has to be done at once when somebody asks again, before the process exits */
export function listenForStop(onSecond: () => void = () => {}): StopSignals {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let asked = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    asked += 1;
    if (asked === 1) {
      resolve(signal);
      return;
    }
    onSecond();
    process.exit(EXIT.interrupted);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return { first: promise };
}
