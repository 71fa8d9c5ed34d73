/** A sign of life while something takes long: one line on stderr that changes, shown to a person only. */
import { formatDuration } from "./duration.ts";
import type { Terminal } from "./terminal.ts";

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME_MS = 100;
/** What ends sooner needs no sign of life. */
const FIRST_AFTER_MS = 1_000;

export interface Spinner {
  update(text: string): void;
  /** Takes the line away; it does not come back. */
  stop(): void;
}

/** Starts one; where nobody looks, or with `--quiet`, it shows nothing. */
export function startSpinner(terminal: Terminal, text: string): Spinner {
  if (!terminal.isInteractive) return { update() {}, stop() {} };
  const startedAt = Date.now();
  let shown = text;
  let frame = 0;
  const timer = setInterval(() => {
    if (Date.now() - startedAt < FIRST_AFTER_MS) return;
    frame = (frame + 1) % FRAMES.length;
    const seconds = formatDuration(Math.floor((Date.now() - startedAt) / 1_000) * 1_000);
    terminal.status(`${FRAMES[frame]} ${shown} (${seconds})`);
  }, FRAME_MS);
  // Never the reason for the process to stay.
  timer.unref();
  return {
    update: (next) => {
      shown = next;
    },
    stop: () => {
      clearInterval(timer);
      terminal.status(null);
    },
  };
}
