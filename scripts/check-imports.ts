/** Refuses imports that run against the direction of the rooms; prints `file:line: what is allowed`. */
import { join, resolve } from "node:path";
import { checkImports } from "./importRules.ts";

const root = resolve(process.argv[2] ?? join(import.meta.dir, ".."));
let files = 0;
let violations = 0;
for (const pattern of ["src/**/*.{ts,tsx}", "clients/typescript/src/**/*.{ts,tsx}"]) {
  for await (const file of new Bun.Glob(pattern).scan({ cwd: root })) {
    files += 1;
    for (const violation of checkImports(file, await Bun.file(join(root, file)).text())) {
      violations += 1;
      console.error(`${violation.file}:${violation.line}: ${violation.message}`);
    }
  }
}
if (files === 0) {
  console.error(`no source file under ${root}`);
  process.exit(1);
}
if (violations > 0) {
  console.error(`${violations} imports run the wrong way`);
  process.exit(1);
}
console.log(`imports of ${files} files run the right way`);
