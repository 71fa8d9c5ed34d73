/**
 * `/docs` (Swagger UI) and `/redoc`, out of the installed packages. No page asks any other host for
 * anything: the bundles hold all they need, and a content security policy forbids the rest.
 */
import { z } from "zod";
import { PathNotFoundError } from "../../dialects/requestErrors.ts";
import { defineRoute, type Route } from "../../dialects/route.ts";
import { problems } from "../../dialects/yardmaster/schemas/problem.ts";
import { docsAsset } from "./assets.ts";
import { REDOC_INITIALIZER, REDOC_PAGE, SWAGGER_INITIALIZER, SWAGGER_PAGE } from "./pages.ts";

const TAGS = ["operation"];

/** Redoc puts its search index in a worker made from a blob, and its styles in the page. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  // The same for browsers that do not know worker-src.
  "child-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const PAGE: ResponseInit = {
  headers: {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
  },
};

/** The pages and the files they load. */
export function docsRoutes(): Route[] {
  return [
    page("getDocs", "/docs", "This document, to browse and try (Swagger UI)", SWAGGER_PAGE),
    page("getRedoc", "/redoc", "This document, to read (Redoc)", REDOC_PAGE),
    defineRoute({
      id: "getDocsAsset",
      method: "GET",
      access: "open",
      path: "/docs/assets/{file}",
      summary: "Files of the pages",
      tags: TAGS,
      params: z.strictObject({ file: z.string() }),
      responses: {
        200: { description: "the file", schema: z.string(), contentType: "text/javascript" },
        ...problems(404),
      },
      handler: async ({ params, call }) => {
        if (params.file === "swagger-initializer.js") return script(SWAGGER_INITIALIZER);
        if (params.file === "redoc-initializer.js") return script(REDOC_INITIALIZER);
        const asset = await docsAsset(params.file);
        if (asset === null) throw new PathNotFoundError(call.path);
        return new Response(asset.body, { headers: assetHeaders(asset.contentType) });
      },
    }),
  ];
}

function page(id: string, path: string, summary: string, html: string): Route {
  return defineRoute({
    id,
    method: "GET",
    access: "open",
    path,
    summary,
    tags: TAGS,
    responses: { 200: { description: "a page", schema: z.string(), contentType: "text/html" } },
    handler: () => new Response(html, PAGE),
  });
}

function script(text: string): Response {
  return new Response(text, { headers: assetHeaders("text/javascript; charset=utf-8") });
}

function assetHeaders(contentType: string): Record<string, string> {
  return {
    "content-type": contentType,
    "x-content-type-options": "nosniff",
    "cache-control": "max-age=3600",
  };
}
