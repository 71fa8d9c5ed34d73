import { expect, test } from "bun:test";
import { attemptText } from "../../src/cli/jobText.ts";

test("attempts that were lost with their worker are told apart from those that a job may have", () => {
  expect(attemptText({ attempt: 1, maxAttempts: 3 })).toBe("1 of 3");
  expect(attemptText({ attempt: 2, maxAttempts: 1 })).toBe("2, lost ones included (1 allowed without them)");
});
