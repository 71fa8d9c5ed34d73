/** The examples of docs/live.md, run as they stand. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startLive } from "./liveServer.ts";

const PAGE = readFileSync(join(import.meta.dir, "../../../docs/live.md"), "utf8");
const examples = [...PAGE.matchAll(/^```js\n(.*?)^```/gms)].map(([, code = ""]) => code);

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await Bun.sleep(5);
  }
}

test("the first example shows the lines", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  await server.log("j", "one");
  const shown: string[] = [];
  const code = (examples[0] ?? "").replace("ws://127.0.0.1:8000", server.url.replace("http", "ws"));
  new Function("jobId", "token", "show", code)("j", "none", (line: string) => shown.push(line));
  await until("the first line", () => shown.length === 1);
  await server.log("j", "<b>two</b>");
  await until("the second line", () => shown.length === 2);
  expect(shown).toEqual(["one", "<b>two</b>"]);
});

test("the second example comes back after a lost connection and misses nothing", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  const lines: string[] = [];
  const sockets: WebSocket[] = [];
  class Watched extends WebSocket {
    constructor(url: string) {
      super(url);
      sockets.push(this);
    }
  }
  interface Heard {
    readonly type: string;
    readonly data: { readonly line: string };
  }
  const handle = ({ type, data }: Heard) => {
    lines.push(type === "log" ? data.line : type);
  };
  const url = `${server.url.replace("http", "ws")}/ws/jobs/j/logs`;
  new Function("url", "handle", "WebSocket", `${examples[1]}\nconnect();`)(url, handle, Watched);
  await until("the beginning", () => lines.length === 1);
  await server.log("j", "one");
  await until("the first line", () => lines.length === 2);
  const [first] = sockets;
  if (first === undefined) throw new Error("no socket");
  Reflect.apply(Reflect.get(first, "terminate"), first, []);
  await server.log("j", "two");
  await until("the second line", () => lines.length === 3);
  await server.finish("j");
  await until("the end", () => lines.length === 4);
  expect(lines).toEqual(["snapshot", "one", "two", "end"]);
  expect(sockets.length).toBe(2);
});
