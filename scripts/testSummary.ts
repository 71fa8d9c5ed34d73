/** Reads the counts from what `bun test` prints at its end. */

export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Why tests were skipped: what this machine lacks, or else their names; with how many that was. */
  readonly skips: ReadonlyMap<string, number>;
}

/**
 * Counts of a run. A run that ended badly without a failed test (a crash, a file that cannot be loaded,
 * no summary at all) counts as one failure, so that nothing broken can look whole.
 *
 * @param output what the runner wrote to stderr, colours allowed
 * @param exitCode how the runner ended
 */
export function readSummary(output: string, exitCode: number): TestSummary {
  const plain = output.replaceAll(/\x1b\[[0-9;]*m/g, "");
  const end = plain.slice(Math.max(0, plain.lastIndexOf("\n\n") - 400));
  const count = (word: string): number => {
    const matches = [...end.matchAll(new RegExp(`^ *(\\d+) ${word}s?$`, "gm"))];
    return Number(matches.at(-1)?.[1] ?? 0);
  };
  const passed = count("pass");
  const failed = count("fail");
  const isComplete = /^Ran \d+ tests? across \d+ files?\./m.test(end);
  const isBroken = exitCode !== 0 || !isComplete;
  return {
    passed,
    failed: isBroken ? Math.max(1, failed) : failed,
    skipped: count("skip") + count("todo"),
    skips: skipsIn(plain),
  };
}

function skipsIn(plain: string): ReadonlyMap<string, number> {
  const skips = new Map<string, number>();
  for (const [, name = ""] of plain.matchAll(/^\((?:skip|todo)\) (.*)$/gm)) {
    const reason = /\((not on this machine: .*)\)$/.exec(name)?.[1] ?? name;
    skips.set(reason, (skips.get(reason) ?? 0) + 1);
  }
  return skips;
}

/** One line for each reason of skipped tests: `  3 skipped: not on this machine: openssl is not installed`. */
export function skipLines({ skips }: TestSummary): readonly string[] {
  return [...skips].map(([reason, count]) => `  ${count} skipped: ${reason}`);
}

/** The closing line: `12 passed, 0 failed`, with `, 1 skipped` when some were. */
export function closingLine(summary: TestSummary): string {
  const skipped = summary.skipped > 0 ? `, ${summary.skipped} skipped` : "";
  return `${summary.passed} passed, ${summary.failed} failed${skipped}`;
}
