/** Where a job's script goes in its workspace: a relative path that cannot leave it. */
import { JobFault } from "../runner.ts";

/** Names in a workspace that are not the script's: the requirements, the dataset, what the script makes. */
export const REQUIREMENTS_FILE = "requirements.txt";
export const DATASET_FOLDER = "dataset";
export const OUTPUT_FOLDER = "output";

const MAX_LENGTH = 1_000;
/** Longest name of a file that common file systems take, in bytes. */
const MAX_NAME_BYTES = 255;

/**
 * The entry point's path as it is.
 *
 * @throws JobFault saying what is wrong with it and what is allowed
 */
export function checkEntrypoint(entrypoint: string): string {
  const refuse = (why: string): never => {
    const shown = JSON.stringify(entrypoint.length > 200 ? `${entrypoint.slice(0, 200)}…` : entrypoint);
    throw new JobFault(
      `the entry point ${shown} ${why}; it must be a file's path inside the workspace, such as "train.py"`,
    );
  };
  if (entrypoint === "") return refuse("is empty");
  if (entrypoint.length > MAX_LENGTH) return refuse(`is longer than ${MAX_LENGTH} characters`);
  if (/[\0-\x1f\x7f]/.test(entrypoint)) return refuse("has a control character");
  if (entrypoint.startsWith("/")) return refuse("is an absolute path");
  if (entrypoint.startsWith("-")) return refuse("begins with a dash and would be taken for an option");
  const names = entrypoint.split("/");
  if (names.includes("..")) return refuse('leaves the workspace by ".."');
  if (names.some((name) => name === "" || name === ".")) return refuse("is no plain path");
  if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)) {
    return refuse(`has a name of more than ${MAX_NAME_BYTES} bytes`);
  }
  const [first = ""] = names;
  if (first === REQUIREMENTS_FILE || first === DATASET_FOLDER || first === OUTPUT_FOLDER) {
    return refuse(`takes the place of "${first}", which every job has`);
  }
  return entrypoint;
}
