/** Reads a time of the API. One without an offset, as in the documents' examples, is UTC. */
export function readTimestamp(text: string): Date {
  return new Date(/(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`);
}
