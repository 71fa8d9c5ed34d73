/** `/v1/artifacts/{sha256}`: files under the name of their content, streamed both ways. */
import { z } from "zod";
import { NotFoundError } from "../../../domain/errors.ts";
import {
  BlobMismatchError,
  type BlobStore,
  BlobTooLargeError,
  type StoredBlob,
} from "../../../store/blobs/blobStore.ts";
import { created, ok } from "../../answers.ts";
import { BodyTooLargeError, InvalidRequestError } from "../../requestErrors.ts";
import { type Call, defineRoute, type Route } from "../../route.ts";
import { parseByteRange } from "../byteRange.ts";
import { problem } from "../problems.ts";
import { problems } from "../schemas/problem.ts";

const TAGS = ["artifacts"];
const BINARY = "application/octet-stream";

const artifactPath = z.strictObject({
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "expected a SHA-256 as 64 hexadecimal digits in small letters")
    .meta({ description: "SHA-256 of the bytes, 64 hexadecimal digits in small letters." }),
});
const rangeHeaders = z.object({
  range: z.string().optional().meta({ example: "bytes=0-1023" }),
});
const receipt = z.object({ sha256: z.string(), sizeBytes: z.int() }).meta({ id: "Artifact" });
const bytes = z.string().meta({ override: { type: "string", format: "binary" } });

export interface ArtifactRoutesOptions {
  readonly blobs: BlobStore;
  /** Told of each artifact that somebody asks for: it is in use. */
  readonly touch: (sha256: string) => Promise<void>;
  readonly maxArtifactBytes: number;
}

/** The routes about artifacts. */
export function artifactRoutes({ blobs, touch, maxArtifactBytes }: ArtifactRoutesOptions): Route[] {
  const read = { path: "/v1/artifacts/{sha256}", tags: TAGS, params: artifactPath, headers: rangeHeaders };
  return [
    putArtifact(blobs, maxArtifactBytes),
    defineRoute({
      ...read,
      id: "getArtifact",
      method: "GET",
      summary: "The bytes of an artifact, or a range of them",
      responses: {
        200: { description: "all bytes", schema: bytes, contentType: BINARY },
        206: { description: "the range", schema: bytes, contentType: BINARY },
        ...problems(404, 416, 422),
      },
      handler: ({ params, call }) => {
        void touch(params.sha256);
        return serve(blobs, params.sha256, call);
      },
    }),
    defineRoute({
      ...read,
      id: "headArtifact",
      method: "HEAD",
      summary: "Says whether an artifact is there, and how long it is",
      responses: {
        200: { description: "it is there" },
        404: { description: "it is not there" },
        422: { description: "the name is no SHA-256" },
      },
      handler: async ({ params, call }) => {
        // Who finds it there does not send it, and may be about to name it.
        await touch(params.sha256);
        return serve(blobs, params.sha256, call);
      },
    }),
  ];
}

function putArtifact(blobs: BlobStore, maxBytes: number): Route {
  return defineRoute({
    id: "putArtifact",
    method: "PUT",
    access: "write",
    path: "/v1/artifacts/{sha256}",
    summary: "Store bytes under their SHA-256",
    tags: TAGS,
    params: artifactPath,
    rawBody: { contentType: BINARY, description: "The bytes, of any length up to the server's limit." },
    responses: {
      201: { description: "stored", schema: receipt },
      200: { description: "was there already", schema: receipt },
      ...problems(413, 422, 503),
    },
    handler: async ({ params, request }) => {
      const { sha256 } = params;
      if (Number(request.headers.get("content-length") ?? 0) > maxBytes)
        throw new BodyTooLargeError(maxBytes);
      const body = request.body ?? new Blob([]).stream();
      const put = await blobs.put(sha256, body, maxBytes).catch((error: unknown) => {
        throw requestErrorOf(error);
      });
      const answer = { sha256, sizeBytes: put.sizeBytes };
      return put.isNew ? created(answer) : ok(answer);
    },
  });
}

function requestErrorOf(error: unknown): unknown {
  if (error instanceof BlobTooLargeError) return new BodyTooLargeError(error.maxBytes);
  if (!(error instanceof BlobMismatchError)) return error;
  return new InvalidRequestError([
    { part: "path", path: ["sha256"], message: `the body's SHA-256 is ${error.actual}` },
  ]);
}

async function serve(blobs: BlobStore, sha256: string, call: Call): Promise<Response> {
  const blob = await blobs.open(sha256);
  if (blob === null) throw new NotFoundError("artifact", sha256);
  const headers: Record<string, string> = {
    "content-type": BINARY,
    "accept-ranges": "bytes",
    etag: `"${sha256}"`,
    "cache-control": "private, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    // Whatever an artifact holds, a browser must never run it as a page of this server.
    "content-security-policy": "sandbox; default-src 'none'",
    "content-disposition": "attachment",
  };
  const asked = call.request.headers;
  if (matchesTag(asked.get("if-none-match"), sha256)) return new Response(null, { status: 304, headers });
  const ifRange = asked.get("if-range");
  const rangeHeader = ifRange === null || matchesTag(ifRange, sha256) ? asked.get("range") : null;
  const range = parseByteRange(rangeHeader, blob.sizeBytes);
  if (range === "unsatisfiable") {
    const detail = `the artifact has ${blob.sizeBytes} bytes`;
    return problem(416, "range", "Range not satisfiable", detail, {
      "content-range": `bytes */${blob.sizeBytes}`,
    });
  }
  if (range === null) return bodyOf(call, blob, 0, blob.sizeBytes, { status: 200, headers });
  headers["content-range"] = `bytes ${range.start}-${range.end - 1}/${blob.sizeBytes}`;
  return bodyOf(call, blob, range.start, range.end, { status: 206, headers });
}

function bodyOf(
  call: Call,
  blob: StoredBlob,
  start: number,
  end: number,
  init: { status: number; headers: Record<string, string> },
): Response {
  // Of a stream nobody else would say it; a long one goes in pieces all the same, whose end is told apart from a cut.
  init.headers["content-length"] = String(end - start);
  if (call.request.method !== "HEAD") return new Response(blob.body(start, end), init);
  return new Response(null, init);
}

function matchesTag(header: string | null, sha256: string): boolean {
  if (header === null) return false;
  return header
    .split(",")
    .some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === `"${sha256}"`);
}
