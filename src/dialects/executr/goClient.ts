/** The existing Go programs, which take other answers than the document says. */

/** Says whether a request comes from Go's own HTTP client. */
export function isGoClient(request: Request): boolean {
  return request.headers.get("user-agent")?.startsWith("Go-http-client") === true;
}
