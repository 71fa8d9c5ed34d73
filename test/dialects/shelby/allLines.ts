/** A log that many readers follow from its first line to its last. */
import { expect } from "bun:test";
import { startLive } from "./liveServer.ts";

/** Writes `total` lines while `readers` follow, and expects that each gets all of them in order. */
export async function expectAllLines(total: number, readers: number): Promise<void> {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  // In a process of their own, as readers are.
  const child = Bun.spawn(
    [
      process.execPath,
      `${import.meta.dir}/liveReaders.ts`,
      `${server.url.replace("http", "ws")}/ws/jobs/j/logs`,
      String(readers),
    ],
    { stdout: "pipe", stderr: "inherit", stdin: "ignore" },
  );
  const output = child.stdout.getReader();
  const decoder = new TextDecoder();
  let told = "";
  const next = async (word: string) => {
    while (!told.includes(word)) {
      const { done, value } = await output.read();
      if (done) throw new Error(`the readers ended: ${told}`);
      told += decoder.decode(value);
    }
  };
  await next("all begun");
  for (let at = 0; at < total; at += 1_000) {
    await server.log("j", ...Array.from({ length: 1_000 }, (_, n) => `line ${at + n}`));
  }
  await server.finish("j");
  await next("\n}");
  await child.exited;
  expect(JSON.parse(told.slice(told.indexOf("{")))).toEqual({
    codes: { 1000: readers },
    faults: [],
    lines: readers * total,
  });
  expect(server.faults).toEqual([]);
}
