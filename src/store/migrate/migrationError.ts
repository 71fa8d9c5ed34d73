/** The data cannot be moved; the message says why and what to do, for the person who runs the command. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
}
