/** Opens the blob store that the settings name: a folder, or a bucket of an S3-compatible service. */
import { join } from "node:path";
import type { BlobStore } from "./blobStore.ts";
import { S3_ADDRESS } from "./s3Address.ts";
import type { S3Login } from "./s3Bucket.ts";
import { BlobPlaceError } from "./s3Fault.ts";

/** Where the blobs of a server are. */
export interface BlobPlace {
  /** Folder of this server alone. Without an address the blobs are in its folder `artifacts`. */
  readonly dataDir: string;
  /** `s3://bucket/prefix`, or null. */
  readonly address: string | null;
  readonly endpoint: string | null;
  readonly region: string;
  /** Null where no keys were given. */
  readonly login: S3Login | null;
  /** Called when the service cannot be reached at the start; the store works as soon as it can. */
  readonly onUnreachable?: (reason: string) => void;
}

/** @throws BlobPlaceError with words for the person who starts the server */
export async function openBlobStore(place: BlobPlace): Promise<BlobStore> {
  if (place.address === null) {
    const { openDirectoryBlobStore } = await import("./directoryBlobStore.ts");
    return openDirectoryBlobStore(join(place.dataDir, "artifacts"));
  }
  const [, bucket, prefix = ""] = S3_ADDRESS.exec(place.address) ?? [];
  if (bucket === undefined) {
    throw new BlobPlaceError("the place of the artifacts must look like s3://bucket or s3://bucket/prefix");
  }
  if (place.login === null) {
    throw new BlobPlaceError(
      `the artifacts in ${place.address} need keys: set YARDMASTER_S3_ACCESS_KEY_ID and ` +
        "YARDMASTER_S3_SECRET_ACCESS_KEY, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
  }
  const { openS3BlobStore } = await import("./s3BlobStore.ts");
  return openS3BlobStore({
    bucket,
    prefix,
    endpoint: place.endpoint,
    region: place.region,
    login: place.login,
    spoolDirectory: join(place.dataDir, "spool"),
    ...(place.onUnreachable === undefined ? {} : { onUnreachable: place.onUnreachable }),
  });
}
