import { afterEach, describe, expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { YardmasterError } from "@yardmaster/client";
import { eventually } from "../cli/yardmasterProcess.ts";
import { testNeeding } from "../testNeeding.ts";
import { Yard } from "./yard.ts";

/** A small file system of its own needs the right to mount one. */
const canMount = process.platform === "linux" && process.getuid?.() === 0;

let yard: Yard | undefined;
afterEach(async () => {
  if (yard === undefined) return;
  await yard.kill("server");
  Bun.spawnSync(["umount", join(yard.dir, "data-0")]);
  await yard.dispose();
});

function mount(dir: string, options: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", options, "tmpfs", dir]);
  if (exitCode !== 0) throw new Error(`mount: ${stderr.toString()}`);
}

describe("a full disk", () => {
  testNeeding(canMount ? null : "only root on Linux can mount a small disk")(
    "refuses what would change something, says why, loses nothing and goes on when there is room",
    async () => {
      yard = new Yard({ maxRetries: 0 });
      const dir = join(yard.dir, "data-0");
      mkdirSync(dir);
      mount(dir, "size=8m");
      await yard.startServer();

      const spec = { argv: ["echo", "x".repeat(20_000)] };
      const acknowledged: number[] = [];
      let refusal: unknown;
      while (refusal === undefined && acknowledged.length < 2_000) {
        await yard.client.submit({ spec }).then(
          (job) => acknowledged.push(job.id),
          (error: unknown) => {
            refusal = error;
          },
        );
      }
      expect(refusal).toBeInstanceOf(YardmasterError);
      if (!(refusal instanceof YardmasterError)) return;
      expect(refusal.status).toBe(503);
      expect(refusal.message).toContain("no space is left");
      expect(refusal.retryAfterMs).toBeGreaterThan(0);
      expect((await yard.client.job(1)).state).toBe("ready");
      const unready = await fetch(`${yard.url}/readyz`);
      expect([unready.status, await unready.text()]).toEqual([
        503,
        expect.stringContaining("no space is left"),
      ]);
      expect((await fetch(`${yard.url}/checkdb`)).status).toBe(503);
      for (let round = 0; round < 5; round++) await yard.client.submit({ spec }).catch(() => {});

      expect(Bun.spawnSync(["mount", "-o", "remount,size=64m", dir]).exitCode).toBe(0);
      // Nobody writes: the server finds out by itself, and says each change once.
      await eventually("the server is ready", async () => ((await yard?.client.isReady()) ? true : null));
      expect(yard.tail().match(/the store refuses writes/g)).toHaveLength(1);
      expect(yard.tail().match(/the store takes writes again/g)).toHaveLength(1);
      acknowledged.push((await yard.client.submit({ spec: { argv: ["true"] } })).id);
      await yard.kill("server");
      await yard.startServer();
      const { jobsByState } = await yard.client.stats();
      expect(jobsByState.ready).toBe(acknowledged.length);
      for (const id of [acknowledged[0], acknowledged.at(-1)]) {
        expect((await yard.client.job(id ?? 0)).state).toBe("ready");
      }
    },
  );
});
