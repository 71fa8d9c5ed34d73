/** What the user wrote cannot be used: a flag, a variable, a line of the configuration file. Ends with exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
