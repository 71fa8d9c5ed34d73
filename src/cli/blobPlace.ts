/** Where the artifacts are, as the settings and the variables that S3's own tools read say. */
import type { BlobPlace } from "../store/blobs/openBlobStore.ts";
import type { SettingValues } from "./settings.ts";
import { UsageError } from "./usageError.ts";

type S3Settings = Pick<
  SettingValues,
  "blobs" | "s3Endpoint" | "s3Region" | "s3AccessKeyId" | "s3SecretAccessKey" | "s3SessionToken"
>;

const DEFAULT_REGION = "us-east-1";

/**
 * @throws UsageError where half of a pair of keys is given, or a token that is not theirs
 */
export function blobPlaceOf(
  settings: S3Settings,
  env: Readonly<Record<string, string | undefined>>,
): Omit<BlobPlace, "dataDir"> {
  const inEnv = (name: string) => env[name] || null;
  return {
    address: settings.blobs,
    endpoint: settings.s3Endpoint ?? inEnv("AWS_ENDPOINT_URL_S3") ?? inEnv("AWS_ENDPOINT_URL"),
    region: settings.s3Region ?? inEnv("AWS_REGION") ?? inEnv("AWS_DEFAULT_REGION") ?? DEFAULT_REGION,
    login: settings.blobs === null ? null : loginOf(settings, inEnv),
  };
}

function loginOf(settings: S3Settings, inEnv: (name: string) => string | null): BlobPlace["login"] {
  const { s3AccessKeyId: accessKeyId, s3SecretAccessKey: secretAccessKey } = settings;
  if ((accessKeyId === null) !== (secretAccessKey === null)) {
    throw new UsageError(
      "s3-access-key-id and s3-secret-access-key go together: set YARDMASTER_S3_ACCESS_KEY_ID and " +
        "YARDMASTER_S3_SECRET_ACCESS_KEY",
    );
  }
  if (accessKeyId !== null && secretAccessKey !== null) {
    // The client would send it along with whatever keys.
    if (settings.s3SessionToken === null && inEnv("AWS_SESSION_TOKEN") !== null) {
      throw new UsageError(
        "AWS_SESSION_TOKEN is set, and the keys of the artifacts are others: unset it, or give the keys as AWS_* variables",
      );
    }
    return { accessKeyId, secretAccessKey, sessionToken: settings.s3SessionToken };
  }
  const [id, secret] = [inEnv("AWS_ACCESS_KEY_ID"), inEnv("AWS_SECRET_ACCESS_KEY")];
  if (id === null || secret === null) return null;
  const sessionToken = settings.s3SessionToken ?? inEnv("AWS_SESSION_TOKEN");
  return { accessKeyId: id, secretAccessKey: secret, sessionToken };
}
