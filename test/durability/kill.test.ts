import { test } from "bun:test";
import { killRounds } from "./killRounds.ts";

test(
  "servers and agents killed at random moments lose no job and run none twice",
  () => killRounds(9, Date.now() % 1_000_000),
  120_000,
);
