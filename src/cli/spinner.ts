/** A sign of life while something takes long; shown to a person only, on stderr. */
import { createSpinner } from "nanospinner";
import type { Terminal } from "./terminal.ts";

export interface Spinner {
  update(text: string): void;
  stop(): void;
}

/** Starts one, or one that does nothing where nobody looks. */
export function startSpinner(terminal: Terminal, text: string): Spinner {
  if (!terminal.isInteractive) return { update() {}, stop() {} };
  const spinner = createSpinner(text, { stream: process.stderr }).start();
  return {
    update: (next) => void spinner.update({ text: next }),
    stop: () => void spinner.clear().stop(),
  };
}
