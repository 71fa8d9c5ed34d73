/** The files of the documentation pages, from the packages they come in. */

/** By the name under which they are served. Nothing else is ever read. */
const ASSETS = {
  "swagger-ui.css": { from: "swagger-ui-dist/swagger-ui.css", contentType: "text/css; charset=utf-8" },
  "swagger-ui-bundle.js": {
    from: "swagger-ui-dist/swagger-ui-bundle.js",
    contentType: "text/javascript; charset=utf-8",
  },
  "favicon-32x32.png": { from: "swagger-ui-dist/favicon-32x32.png", contentType: "image/png" },
  "redoc.standalone.js": {
    from: "redoc/bundles/redoc.standalone.js",
    contentType: "text/javascript; charset=utf-8",
  },
} as const;

type AssetName = keyof typeof ASSETS;

/** The picture that Redoc loads from its maker's host beside its menu. */
const REDOC_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg";
const EMPTY_PICTURE = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";

export interface DocsAsset {
  readonly body: Blob | string;
  readonly contentType: string;
}

let redocBundle: string | null = null;

/** Null when no file has that name. */
export async function docsAsset(name: string): Promise<DocsAsset | null> {
  if (!isAssetName(name)) return null;
  const { from, contentType } = ASSETS[name];
  const file = Bun.file(Bun.fileURLToPath(import.meta.resolve(from)));
  if (name !== "redoc.standalone.js") return { body: file, contentType };
  redocBundle ??= (await file.text()).replaceAll(REDOC_LOGO, EMPTY_PICTURE);
  return { body: redocBundle, contentType };
}

function isAssetName(name: string): name is AssetName {
  return Object.hasOwn(ASSETS, name);
}
