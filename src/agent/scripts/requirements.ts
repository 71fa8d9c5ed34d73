/** A job's requirements in the form by which environments are told apart. */

/**
 * The lines that say something, without comments and outer blanks. Their order stays, for options hold for what
 * follows them; so two texts of one form always make the same environment.
 */
export function normalRequirements(text: string): string {
  return text
    .replace(/^\ufeff/, "")
    .split(/\r\n|\r|\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "")
    .join("\n");
}
