/** Long: many lines to many readers, and the memory of thousands of open sockets. */
import { afterAll, describe, expect, test } from "bun:test";
import { Scratch } from "../cli/yardmasterProcess.ts";
import { expectAllLines } from "../dialects/shelby/allLines.ts";

test(
  "100,000 lines reach 100 readers, all of them and in order",
  () => expectAllLines(100_000, 100),
  300_000,
);

describe("5,000 open sockets", () => {
  const scratch = new Scratch();
  afterAll(() => scratch.dispose());
  const SOCKETS = 5_000;
  const MAX_MIB = 500;
  const LINES = 200;

  async function call(url: string, method: string, path: string, body?: unknown): Promise<void> {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  }

  /** Resident memory of a process, in MiB, now and at its highest. */
  async function memoryOf(pid: number): Promise<{ nowMib: number; highestMib: number }> {
    const text = await Bun.file(`/proc/${pid}/status`).text();
    const mib = (name: string) =>
      Math.round(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) / 1_024);
    return { nowMib: mib("VmRSS"), highestMib: mib("VmHWM") };
  }

  test.each([
    ["following one log", () => "/ws/jobs/job-0/logs"],
    ["following 500 logs, the nodes and the dashboard", (n: number) => pathOf(n)],
  ])(
    "%s, within 500 MiB",
    async (_name, path) => {
      const server = await scratch.start(["serve", "--data", `data-${Math.random()}`]);
      const { url } = server;
      for (let n = 0; n < 500; n++) {
        await call(url, "POST", "/api/jobs/create", { jobId: `job-${n}`, datasetName: "d" });
        await call(url, "POST", "/api/jobs/upload-script", { jobId: `job-${n}`, script: "pass" });
        await call(url, "POST", "/api/jobs/ack", { nodeId: "node", jobId: `job-${n}` });
      }
      const heard = new Array<number>(SOCKETS).fill(0);
      const codes: number[] = [];
      const sockets = Array.from({ length: SOCKETS }, (_, n) => {
        const socket = new WebSocket(`${url.replace("http", "ws")}${path(n)}`);
        socket.addEventListener("message", () => {
          heard[n] = (heard[n] ?? 0) + 1;
        });
        socket.addEventListener("close", ({ code }) => codes.push(code));
        return socket;
      });
      const until = async (what: string, isSo: () => boolean) => {
        const deadline = Date.now() + 120_000;
        while (!isSo()) {
          if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
          await Bun.sleep(20);
        }
      };
      await until("all snapshots", () => heard.every((count) => count >= 1));
      const open = await memoryOf(server.child.pid);
      for (let line = 0; line < LINES; line++) {
        await call(url, "POST", "/api/jobs/stream-log", {
          job_id: "job-0",
          line: `line ${line} ${"x".repeat(80)}`,
        });
      }
      const followers = heard.flatMap((_, n) => (path(n) === "/ws/jobs/job-0/logs" ? [n] : []));
      await until("all lines", () => followers.every((n) => (heard[n] ?? 0) >= LINES + 1));
      const after = await memoryOf(server.child.pid);
      console.log(
        `${SOCKETS} sockets: ${open.nowMib} MiB open, ${after.nowMib} MiB after, ${after.highestMib} MiB at most`,
      );
      expect(codes).toEqual([]);
      expect(after.highestMib).toBeLessThan(MAX_MIB);
      for (const socket of sockets) socket.close();
      await until("all closed", () => codes.length === SOCKETS);
    },
    300_000,
  );

  function pathOf(n: number): string {
    if (n % 10 === 0) return "/ws/dashboard";
    return n % 10 === 1 ? "/ws/nodes" : `/ws/jobs/job-${n % 500}/logs`;
  }
});
