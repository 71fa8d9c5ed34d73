/** A server that answers what a test tells it to, and remembers what it was asked. */

export interface SeenRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: Headers;
  body: string;
}

export interface ScriptedServer extends AsyncDisposable {
  url: string;
  seen: SeenRequest[];
}

/** Answers the n-th request with the n-th answer; the last one answers all that follow. */
export function scriptedServer(
  ...answers: ((request: SeenRequest) => Response | Promise<Response>)[]
): ScriptedServer {
  const seen: SeenRequest[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      const entry = {
        method: request.method,
        path: pathname,
        query: searchParams,
        headers: request.headers,
        body: await request.text(),
      };
      seen.push(entry);
      const answer = answers[Math.min(seen.length, answers.length) - 1];
      return answer === undefined ? new Response(null, { status: 500 }) : answer(entry);
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    seen,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
    },
  };
}

export function problem(
  status: number,
  detail: string,
  extra: object = {},
  headers: HeadersInit = {},
): Response {
  return new Response(JSON.stringify({ type: "about:blank", title: "No", status, detail, ...extra }), {
    status,
    headers: { "Content-Type": "application/problem+json", ...headers },
  });
}
