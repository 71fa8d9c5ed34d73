/** The `binary` runner: a program by its URL and checksum, with exactly the arguments and environment that are given. */
import type { Json } from "@yardmaster/client";
import type { BinaryCache, HeldBinary } from "../binaries/binaryCache.ts";
import { isSha256 } from "../binaries/sha256.ts";
import { type OwnServer, sourceOf } from "../binaries/source.ts";
import { environmentOf, textList } from "../jobSpec.ts";
import { JobFault, type Launch, type RunContext, type Runner } from "../runner.ts";

/** Runs binaries of a cache. */
export function binaryRunner(cache: BinaryCache, server: OwnServer): Runner {
  return {
    kind: "binary",
    prepare(context: RunContext): Launch | Promise<Launch> {
      const { url, sha256, args, env } = context.job.spec;
      const checksum = checksumOf(sha256);
      const source = sourceOf(url, server);
      const given = { args: argumentsOf(args), env: environmentOf(env) };
      const launch = (binary: HeldBinary): Launch => ({
        argv: [binary.path, ...given.args],
        env: given.env,
        cwd: context.workspace,
        reads: [binary.path],
        hasExactEnvironment: true,
        keepsCutOutputs: true,
        release: binary.release,
      });
      const held = cache.hold(checksum, source, context);
      return held instanceof Promise ? held.then(launch) : launch(held);
    },
  };
}

/** It becomes the name of a file: nothing but a checksum passes. */
function checksumOf(value: Json | undefined): string {
  if (typeof value !== "string" || !isSha256(value)) {
    throw new JobFault("spec.sha256 must be 64 hexadecimal digits in small letters");
  }
  return value;
}

function argumentsOf(value: Json | undefined): readonly string[] {
  return value === undefined || value === null ? [] : textList("args", value);
}
