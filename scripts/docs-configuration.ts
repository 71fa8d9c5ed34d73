/** Writes `docs/configuration.md` from the table of settings; `--check` only says whether it is current. */
import { join } from "node:path";
import { configurationPage } from "./configurationPage.ts";

const path = join(import.meta.dir, "../docs/configuration.md");
const page = configurationPage();
if (process.argv.includes("--check")) {
  if ((await Bun.file(path).text()) === page) process.exit(0);
  console.error("docs/configuration.md is not current: npm run docs");
  process.exit(1);
}
await Bun.write(path, page);
