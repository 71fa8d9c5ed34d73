/** Where a binary comes from, and what may be sent there. */
import type { Json } from "@yardmaster/client";
import { JobFault } from "../runner.ts";
import { isSha256 } from "./sha256.ts";

export interface Source {
  readonly url: URL;
  /** An artifact of the agent's own server: the rules for addresses do not hold for it. */
  readonly isOwnServer: boolean;
}

/** The agent's own server, whose artifacts need its key. */
export interface OwnServer {
  readonly url: string;
  readonly apiKey: string | undefined;
}

/** An artifact of the server that the agent works for, wherever that is for the agent. */
const ARTIFACT_PATH = /^\/v1\/artifacts\/([0-9a-f]{64})$/;

/**
 * Reads a job's URL: `http:`, `https:`, or `/v1/artifacts/` with a checksum for the agent's own server.
 *
 * @throws JobFault when it is none
 */
export function sourceOf(text: Json | undefined, server: OwnServer): Source {
  if (typeof text !== "string" || text === "") throw new JobFault("spec.url must be the address of a binary");
  const own = URL.parse(server.url);
  if (ARTIFACT_PATH.test(text) && own !== null) {
    const url = new URL(own);
    url.pathname = `${own.pathname.replace(/\/+$/, "")}${text}`;
    url.search = "";
    return { url, isOwnServer: true };
  }
  const url = URL.parse(text);
  // The text is not repeated: it may hold a password.
  if (url === null) throw new JobFault("spec.url is no URL: expected http://… or https://…");
  url.hash = "";
  const isOwn = own !== null && url.origin === own.origin && isArtifact(url, own);
  return { url, isOwnServer: isOwn };
}

function isArtifact(url: URL, own: URL): boolean {
  const base = `${own.pathname.replace(/\/+$/, "")}/v1/artifacts/`;
  return url.pathname.startsWith(base) && isSha256(url.pathname.slice(base.length));
}

/** What a request must carry to be let in: the agent's key for its own server, else user and password of the URL. */
export function credentialsFor(source: Source, server: OwnServer): Record<string, string> {
  const { url, isOwnServer } = source;
  if (isOwnServer && server.apiKey !== undefined) return { "x-api-key": server.apiKey };
  if (url.username === "" && url.password === "") return {};
  const pair = Buffer.concat([percentDecoded(url.username), Buffer.from(":"), percentDecoded(url.password)]);
  return { authorization: `Basic ${pair.toString("base64")}` };
}

/** As the URL Standard has it: a percent sign that begins no code stands for itself. */
function percentDecoded(text: string): Buffer {
  const bytes = text.replaceAll(/%([0-9a-f]{2})/gi, (_code, digits) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return Buffer.from(bytes, "latin1");
}
