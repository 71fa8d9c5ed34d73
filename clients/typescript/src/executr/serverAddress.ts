/** The server's address as programs of Executr write it: with or without `/api/v1`, with or without a key in it. */

export interface ServerAddress {
  /** Without credentials, without `/api/v1`, without a slash at its end. */
  readonly baseUrl: string;
  /** The password of `http://user:password@host`; undefined when there is none. */
  readonly apiKey: string | undefined;
}

/** @throws {TypeError} for what is no http or https address; the message shows no credentials */
export function readServerAddress(text: string): ServerAddress {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    const shown = text.replace(/\/\/[^/@]*@/, "//");
    throw new TypeError(
      `baseUrl must be an http or https address such as "http://127.0.0.1:8000", got "${shown}"`,
    );
  }
  const path = url.pathname.replace(/\/+$/, "").replace(/\/api\/v1$/, "");
  return {
    baseUrl: `${url.protocol}//${url.host}${path}`,
    apiKey: url.password === "" ? undefined : decodeURIComponent(url.password),
  };
}
