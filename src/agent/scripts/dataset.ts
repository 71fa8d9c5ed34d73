/** A job's dataset on this machine: from the cache where its hash is known, else downloaded for this job alone. */
import { mkdirSync, symlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BinaryCache } from "../binaries/binaryCache.ts";
import { type DownloadLimits, download } from "../binaries/download.ts";
import { sha256OfFile } from "../binaries/sha256.ts";
import { shownUrl } from "../binaries/shownUrl.ts";
import { type OwnServer, type Source, sourceOf } from "../binaries/source.ts";
import { machineFault } from "../machineFault.ts";
import { JobFault, type RunContext } from "../runner.ts";
import { DATASET_FOLDER } from "./entrypoint.ts";
import { type DatasetRequest, sha256Of } from "./scriptJob.ts";

export interface DatasetServices {
  readonly cache: BinaryCache;
  readonly limits: DownloadLimits;
  readonly server: OwnServer;
}

/** A dataset that is there until it is released. */
export interface HeldDataset {
  /** In the job's workspace. */
  readonly path: string;
  /** Where it lies in truth, when that is elsewhere. */
  readonly cachedPath: string | null;
  readonly sha256: string;
  readonly bytes: number;
  /** Its hash was given and is the right one. */
  readonly isVerified: boolean;
  /** For people: without passwords. */
  readonly source: string;
  release(): void;
}

type Tools = Pick<RunContext, "workspace" | "signal" | "note">;

/**
 * Fetches a dataset.
 *
 * @throws JobFault that says why it cannot be had, MachineBusyError when this machine is why; the signal's reason
 */
export async function fetchDataset(
  request: DatasetRequest & { readonly url: string },
  services: DatasetServices,
  tools: Tools,
): Promise<HeldDataset> {
  const source = sourceOfDataset(request.url, services.server);
  const folder = join(tools.workspace, DATASET_FOLDER);
  mkdirSync(folder, { mode: 0o700 });
  const path = join(folder, fileNameOf(source.url));
  const sha256 = sha256Of(request.hash);
  if (sha256 === null) return unverified(request, source, path, services, tools);
  const held = await services.cache.hold(sha256, source, tools);
  // A link, not a copy: datasets are large, and isolated jobs see the cache read-only.
  symlinkSync(held.path, path);
  tools.note(`dataset ${shownUrl(source.url)}: its SHA-256 is the one given`);
  return {
    ...{ path, cachedPath: held.path, sha256, isVerified: true, source: shownUrl(source.url) },
    bytes: Bun.file(held.path).size,
    release: held.release,
  };
}

/** What nobody vouches for is not shared between jobs: its address may bring something else the next time. */
async function unverified(
  { hash }: DatasetRequest,
  source: Source,
  path: string,
  { limits, server }: DatasetServices,
  { workspace, signal, note }: Tools,
): Promise<HeldDataset> {
  const shown = shownUrl(source.url);
  let isFirst = true;
  const file = await open(path, "wx+", 0o600);
  try {
    const events = {
      onAnswer: (totalBytes: number | null) => {
        if (isFirst)
          note(`downloading ${shown} (${totalBytes === null ? "size not told" : `${totalBytes} bytes`})`);
        isFirst = false;
      },
      onValidator: () => {},
      place: { folder: dirname(workspace), setting: "state-dir" as const },
      onDiskFull: async () => false,
      onRetry: (reason: string, pauseMs: number) =>
        note(`${reason}; trying again in ${(pauseMs / 1_000).toFixed(1)} s`),
    };
    const nothingYet = { sizeBytes: 0, validator: null };
    const { sizeBytes: bytes } = await download(source, file, nothingYet, limits, server, events, signal);
    const sha256 = await sha256OfFile(file, signal);
    const why = hash === null ? "no hash was given" : `the given hash ${shortened(hash)} is no SHA-256`;
    note(`dataset ${shown} was not verified: ${why}; its SHA-256 is ${sha256}`);
    return { path, cachedPath: null, sha256, bytes, isVerified: false, source: shown, release: () => {} };
  } catch (error) {
    throw machineFault(error, dirname(workspace), "state-dir", true) ?? error;
  } finally {
    await file.close();
  }
}

function sourceOfDataset(text: string, server: OwnServer): Source {
  // The text is not repeated: it may hold a password.
  if (!text.startsWith("/v1/artifacts/") && !URL.canParse(text)) {
    throw new JobFault("the dataset's address is no URL: expected http://… or https://…");
  }
  return sourceOf(text, server);
}

/** The last part of the address: readers often go by a file's ending. */
function fileNameOf(url: URL): string {
  let name = url.pathname.split("/").at(-1) ?? "";
  try {
    name = decodeURIComponent(name);
  } catch {
    // Then it stays as it is written.
  }
  const plain = name
    .replaceAll(/[^A-Za-z0-9._-]/g, "_")
    .replace(/^\.+/, "")
    .slice(-200);
  return plain === "" ? "dataset" : plain;
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
