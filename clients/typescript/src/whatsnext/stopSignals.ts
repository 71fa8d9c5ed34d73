/** SIGINT and SIGTERM, where there is a process that gets them. */
import { hostProcess } from "./process.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Calls `onSignal` for each; gives the function that ends it, after which they do what they did before. */
export function onStopSignals(onSignal: (name: string) => void): () => void {
  const host = hostProcess();
  if (host === null) return () => {};
  const listeners = SIGNALS.map((name) => [name, () => onSignal(name)] as const);
  for (const [name, listener] of listeners) host.on(name, listener);
  return () => {
    for (const [name, listener] of listeners) host.off(name, listener);
  };
}
