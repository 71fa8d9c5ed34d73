import { expect, test } from "bun:test";
import type { Job, NewJob } from "@yardmaster/client";
import { Yard } from "./yard.ts";

const WIDTHS = [5_000, 3_000, 2_000] as const;
const PER_REQUEST = 1_000;

/** Submits a pipeline of three levels, each job with one to three jobs of the level above. */
async function submitPipeline(yard: Yard): Promise<Job[]> {
  const jobs: Job[] = [];
  let above: Job[] = [];
  for (const [level, width] of WIDTHS.entries()) {
    const layer: Job[] = [];
    for (let at = 0; at < width; at += PER_REQUEST) {
      const items = Array.from({ length: PER_REQUEST }, (_, index): NewJob => {
        const place = at + index;
        const needs = above.length === 0 ? [] : [0, 1, 2].slice(0, 1 + (place % 3));
        return {
          name: `${level}/${place}`,
          spec: { argv: ["true"] },
          resources: { cpu: place % 10 === 0 ? 2 : 1 },
          dependsOn: needs.flatMap((step) => above[(place * 3 + step) % above.length]?.id ?? []),
        };
      });
      layer.push(...(await yard.client.submitMany(items)));
    }
    jobs.push(...layer);
    above = layer;
  }
  return jobs;
}

test("ten thousand jobs over three levels finish in order on two agents while everything is killed on the way", async () => {
  const yard = new Yard();
  try {
    await yard.startServer();
    const submitted = await submitPipeline(yard);
    yard.startAgent("small", 2);
    yard.startAgent("large", 6);
    const restarts: Record<string, () => Promise<void> | void> = {
      server: () => yard.startServer(),
      small: () => yard.startAgent("small", 2),
      large: () => yard.startAgent("large", 6),
    };
    const victims = ["large", "server", "small", "server"];
    for (let round = 0; ; round++) {
      await Bun.sleep(700);
      const { jobsByState } = await yard.client.stats();
      if (jobsByState.succeeded + jobsByState.failed === submitted.length) break;
      expect(jobsByState.failed + jobsByState.blocked).toBe(0);
      const victim = victims[round];
      if (victim === undefined) continue;
      await yard.kill(victim);
      await Bun.sleep(100);
      await restarts[victim]?.();
    }
    const ended = new Map<number, Job>();
    for await (const job of yard.client.allJobs({ limit: 1_000 })) ended.set(job.id, job);
    expect(ended.size).toBe(submitted.length);
    for (const { id, dependsOn } of submitted) {
      const job = ended.get(id);
      expect([id, job?.state]).toEqual([id, "succeeded"]);
      for (const needed of dependsOn) {
        const before = ended.get(needed)?.finishedAt ?? "never";
        expect((job?.startedAt ?? "") >= before).toBe(true);
      }
    }
  } finally {
    await yard.dispose();
  }
}, 300_000);
