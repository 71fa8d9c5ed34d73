/** A job's requirements: as they are installed, and in the form by which environments are told apart. */

/** Names of packages that installers put into environments for themselves. */
const INSTALLERS = ["pip", "setuptools", "wheel", "uv"];

/** The text for the installer: as it was given, without the mark that some editors begin files with. */
export function installedText(text: string): string {
  return text.replace(/^\ufeff/, "");
}

/**
 * The lines that say something, without comments and outer blanks. Their order stays, for options hold for what
 * follows them; so two texts of one form always make the same environment.
 *
 * A text that installers may take for another one without its comments stays as it is: a comment ends a line that was
 * to be continued, names the encoding of all that follows, or holds a character that begins a line for some of them.
 * Else a job could fill the environment of others with what their requirements do not name.
 */
export function normalRequirements(text: string): string {
  const given = installedText(text);
  if (!isPlain(given)) return given;
  return given
    .split(/\r?\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "")
    .join("\n");
}

function isPlain(text: string): boolean {
  const isAscii = /^(?:[\t\n\x20-\x7e]|\r\n)*$/.test(text);
  const isContinued = /\\[\t ]*\r?(?:\n|$)/.test(text);
  const namesEncoding = /coding[:=]/.test(text);
  return isAscii && !isContinued && !namesEncoding;
}

/** The installers' own packages that a text asks for by their names. */
export function askedInstallers(text: string): readonly string[] {
  const names = installedText(text)
    .split(/\r\n|\r|\n/)
    .map((line) => /^\s*([A-Za-z0-9][A-Za-z0-9._-]*)/.exec(line)?.[1]?.toLowerCase());
  return INSTALLERS.filter((name) => names.includes(name));
}
