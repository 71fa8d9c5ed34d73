/** Checks of the runtime, the data folder, the address and a server that may run there. */
import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { formatByteSize } from "../byteSize.ts";
import { formatDuration } from "../duration.ts";
import { parseListenAddress } from "../listenAddress.ts";
import type { SettingValues } from "../settings.ts";
import { PINNED_BUN_VERSION } from "../version.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

const PROBE_TIMEOUT_MS = 3_000;
/** Leases and schedules bear this; beyond it times in lists look wrong. */
const MAX_CLOCK_SKEW_MS = 2_000;
const LOW_DISK_BYTES = 1024 ** 3;

/** @param serverUrl address of the server that commands talk to */
export async function serverChecks(values: SettingValues, serverUrl: string): Promise<Finding[]> {
  const { findings, isThere } = await serverFindings(serverUrl, values.apiKey);
  return [
    runtime(),
    dataFolder(resolve(values.data)),
    ...values.listen.map((text) => port(text, serverUrl, isThere)),
    ...findings,
  ];
}

function runtime(): Finding {
  if (Bun.version === PINNED_BUN_VERSION) return ok("runtime", `Bun ${Bun.version}`);
  return warn(
    "runtime",
    `Bun ${Bun.version}, tested with ${PINNED_BUN_VERSION}`,
    "run `npm ci` in the checkout and start with bin/yardmaster",
  );
}

function dataFolder(path: string): Finding {
  let existing = path;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  try {
    if (!statSync(existing).isDirectory())
      return fail("data", `${existing} is no folder`, "name another folder with --data");
    accessSync(existing, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return fail(
      "data",
      `${path} cannot be written`,
      "change its owner or mode, or name another folder with --data",
    );
  }
  const disk = statfsSync(existing);
  const freeBytes = disk.bavail * disk.bsize;
  const detail = `${path}, ${formatByteSize(freeBytes)} free`;
  if (freeBytes >= LOW_DISK_BYTES) return ok("data", detail);
  return warn("data", detail, "free some space: a server refuses jobs when the disk is full");
}

function port(text: string, serverUrl: string, isServerThere: boolean): Finding {
  const { host, port: number } = parseListenAddress(text);
  try {
    Bun.listen({ hostname: host, port: number, socket: { data() {} } }).stop(true);
    return ok("port", `${text} is free`);
  } catch (error) {
    if (isServerThere && serverUrl.endsWith(`:${number}`))
      return ok("port", `${text} is in use by a Yardmaster server`);
    const isInUse = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
    if (isInUse) {
      const advice = "end the program that has it, or choose another with --listen";
      return fail("port", `${text} is in use by another program than ${serverUrl}`, advice);
    }
    const reason = error instanceof Error ? error.message : String(error);
    return fail(
      "port",
      `${text} cannot be listened on: ${reason}`,
      "choose an address of this machine with --listen, and a port that its user may use",
    );
  }
}

async function serverFindings(
  url: string,
  apiKey: string | null,
): Promise<{ findings: Finding[]; isThere: boolean }> {
  const askedAt = Date.now();
  let ready: Response;
  let version: string;
  try {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    ready = await fetch(`${url}/readyz`, { signal });
    version = versionIn(await (await fetch(`${url}/openapi.json`, { signal })).json());
  } catch {
    const advice = "start one with `yardmaster up`, or name another with --server";
    return { findings: [warn("server", `no answer from ${url}`, advice)], isThere: false };
  }
  const server = ready.ok
    ? ok("server", `${url} is ready, version ${version}`)
    : fail(
        "server",
        `${url} answers but is not ready (${ready.status})`,
        "look at its log: its store does not answer",
      );
  return { findings: [server, ...(await access(url, apiKey)), clock(ready, askedAt)], isThere: true };
}

/** Whether the server takes what commands and agents here send; nothing where it does not say. */
async function access(url: string, apiKey: string | null): Promise<Finding[]> {
  const headers: Record<string, string> = apiKey === null ? {} : { "X-API-Key": apiKey };
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  try {
    const answer = await fetch(`${url}/v1/stats`, { headers, signal });
    if (answer.status === 401 || answer.status === 403) {
      const detail = `${url} refuses requests: ${detailIn(await answer.json())}`;
      return [fail("access", detail, "put a key of that server into YARDMASTER_API_KEY")];
    }
    if (!answer.ok) return [];
    return [ok("access", apiKey === null ? "the server asks for no key" : "the server takes the API key")];
  } catch {
    return [];
  }
}

function detailIn(problem: unknown): string {
  const hasDetail = typeof problem === "object" && problem !== null && "detail" in problem;
  return hasDetail ? String(problem.detail) : "it does not say why";
}

function clock(answer: Response, askedAtMs: number): Finding {
  const date = Date.parse(answer.headers.get("Date") ?? "");
  if (Number.isNaN(date))
    return warn("clock", "the server did not say its time", "compare the clocks by hand");
  // `Date` has whole seconds, cut off.
  const skewMs = Math.max(0, Math.abs(date + 500 - askedAtMs) - 500);
  if (skewMs <= MAX_CLOCK_SKEW_MS) return ok("clock", "agrees with the server's");
  return warn(
    "clock",
    `differs from the server's by ${formatDuration(skewMs)}`,
    "keep both machines in step with NTP",
  );
}

function versionIn(document: unknown): string {
  if (typeof document !== "object" || document === null || !("info" in document)) return "unknown";
  const { info } = document;
  const hasVersion = typeof info === "object" && info !== null && "version" in info;
  return hasVersion ? String(info.version) : "unknown";
}
