/** The limit of any agent here: starting a program (`/bin/true`) over and over, so many at a time, and nothing else. Prints processes a second. */
const [total = 1_000, concurrency = 16] = process.argv.slice(2, 4).map(Number);
const program = process.argv[4] ?? "/bin/true";

let started = 0;
async function loop(): Promise<void> {
  while (started < total) {
    started += 1;
    await Bun.spawn([program], { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited;
  }
}
const startedAt = performance.now();
await Promise.all(Array.from({ length: concurrency }, loop));
console.log(total / ((performance.now() - startedAt) / 1_000));
