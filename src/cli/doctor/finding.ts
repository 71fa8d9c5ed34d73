/** What one check of `yardmaster doctor` found. */
export type Verdict = "ok" | "warn" | "fail";

export interface Finding {
  readonly check: string;
  readonly verdict: Verdict;
  readonly detail: string;
  /** What to do; null when nothing has to be done. */
  readonly advice: string | null;
}

export function ok(check: string, detail: string): Finding {
  return { check, verdict: "ok", detail, advice: null };
}

export function warn(check: string, detail: string, advice: string): Finding {
  return { check, verdict: "warn", detail, advice };
}

export function fail(check: string, detail: string, advice: string): Finding {
  return { check, verdict: "fail", detail, advice };
}
