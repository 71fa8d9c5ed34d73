import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scriptedServer } from "./scriptedServer.ts";

const root = join(import.meta.dir, "../..");

const program = `
import { YardmasterClient } from "./dist/index.js";
const client = new YardmasterClient({ baseUrl: process.argv[2] });
const job = await client.submit({ spec: { argv: ["true"] } });
let text = "";
for await (const chunk of client.followLog(job.id)) text += chunk.text;
console.log(job.id, text);
`;

test("the built package runs under Node", async () => {
  await using server = scriptedServer(
    () => Response.json({ id: 5 }),
    () => new Response('id: 1\ndata: {"seq":1,"text":"hello"}\n\nevent: end\ndata:\n\n'),
  );
  const dir = await mkdtemp(join(tmpdir(), "yardmaster-sdk-"));
  try {
    const build = Bun.spawn(
      [
        join(root, "node_modules/.bin/tsc"),
        "-p",
        join(root, "clients/typescript/tsconfig.build.json"),
        "--outDir",
        join(dir, "dist"),
      ],
      { stdout: "pipe", stderr: "inherit" },
    );
    expect({ code: await build.exited, output: await new Response(build.stdout).text() }).toEqual({
      code: 0,
      output: "",
    });
    await writeFile(join(dir, "program.mjs"), program);
    await writeFile(join(dir, "package.json"), '{"type":"module"}');
    const run = Bun.spawn(["node", join(dir, "program.mjs"), server.url], {
      stdout: "pipe",
      stderr: "inherit",
    });
    expect(await new Response(run.stdout).text()).toBe("5 hello\n");
    expect(await run.exited).toBe(0);
  } finally {
    await rm(dir, { recursive: true });
  }
}, 60_000);
