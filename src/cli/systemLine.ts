/**
 * A `system` chunk of a log as people read it: in brackets, which tell it from what the job wrote. An agent puts
 * its words into brackets of their own.
 */
export function systemLine(text: string): string {
  const line = text.trimEnd();
  return line.startsWith("[") ? line : `[${line}]`;
}
