/** A URL as people and logs may see it: without user and password, and without its query, which often holds a token. */
export function shownUrl(url: URL): string {
  const query = url.search === "" ? "" : "?…";
  return `${url.protocol}//${url.host}${url.pathname}${query}`;
}
