import { test } from "bun:test";
import { killRounds } from "../durability/killRounds.ts";

const ROUNDS = 50;

test(
  `${ROUNDS} rounds of kill -9 of server, agent and both lose no job and run none twice`,
  () => killRounds(ROUNDS, Number(process.env.YARDMASTER_TEST_SEED ?? Date.now() % 1_000_000)),
  600_000,
);
