/** An agent's cache in a process of its own: holds the binaries named, says so, and stays until it is killed. */
import { TestCache } from "./testCache.ts";

const [folder = "", urls = "", sums = ""] = process.argv.slice(2);
const cache = new TestCache({ cacheDir: folder });
const checksums = sums.split(",");
await Promise.all(urls.split(",").map((url, at) => cache.hold(url, checksums[at] ?? "")));
console.log("held");
// The test that started it may be gone without a word.
setTimeout(() => process.exit(1), 30_000);
