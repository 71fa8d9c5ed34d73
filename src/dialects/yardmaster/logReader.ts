/** Reads a log page by page: what is there, or all that comes until the job is final. */
import { NotFoundError } from "../../domain/errors.ts";
import { isFinal } from "../../domain/stateMachine.ts";
import type { Engine, LogFilter, LogPage } from "../../engine/engine.ts";
import type { JobWatch } from "../jobWatch.ts";
import type { Turns } from "../turns.ts";

/** One step of following: a page with news, or nothing for a while. */
export type LogStep = LogPage | "silence";

/** Pages of logs that are read at a time: what many want at once would wait in memory while one takes it. */
export const LOG_READS = 8;

/**
 * The pages of a log as it is. The next page is read only when the one before was taken, so a slow reader
 * costs one page of memory.
 *
 * @param turns shared by all who read a log of this server as text or follow it
 */
export async function* logToEnd(
  engine: Engine,
  turns: Turns,
  jobId: number,
  filter: LogFilter,
): AsyncGenerator<LogPage> {
  let next = filter;
  for (;;) {
    const from = next;
    const page = await turns.take(() => engine.read.log(jobId, from));
    yield page;
    if (page.isEnd) return;
    next = goOn(filter, page.next);
  }
}

/**
 * The pages of a log until the job is final and all was read. Ends early when the signal is aborted or the
 * job is deleted.
 *
 * @param turns as above
 */
export async function* followLog(
  engine: Engine,
  watch: JobWatch,
  turns: Turns,
  jobId: number,
  filter: LogFilter,
  limits: { readonly keepAliveMs: number; readonly safetyPollMs: number },
  signal: AbortSignal,
): AsyncGenerator<LogStep> {
  const watcher = watch.open(jobId);
  try {
    let next = filter;
    let sinceWordMs = 0;
    while (!signal.aborted) {
      const from = next;
      const page = await turns.take(() => engine.read.log(jobId, from));
      if (page.items.length > 0) {
        yield page;
        sinceWordMs = 0;
        next = goOn(filter, page.next);
      }
      if (!page.isEnd) continue;
      if (isFinal(page.state)) return;
      const waitMs = Math.min(limits.safetyPollMs, limits.keepAliveMs - sinceWordMs);
      const startedAt = performance.now();
      await watcher.next(waitMs, signal);
      sinceWordMs += performance.now() - startedAt;
      if (sinceWordMs >= limits.keepAliveMs) {
        yield "silence";
        sinceWordMs = 0;
      }
    }
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  } finally {
    watcher.close();
  }
}

/** What follows a page: the tail was asked for the beginning only. */
function goOn(filter: LogFilter, after: number): LogFilter {
  const { tailLines: _tailLines, ...rest } = filter;
  return { ...rest, after };
}
