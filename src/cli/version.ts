/** Version of this checkout, and of the runtime it runs on. */
import manifest from "../../package.json" with { type: "json" };

export const VERSION: string = manifest.version;
/** Bun's version as pinned; the one running may differ when started by hand. */
export const PINNED_BUN_VERSION: string = manifest.dependencies.bun;
