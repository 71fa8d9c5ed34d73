/**
 * Many readers of one log, in a process of their own: `bun liveReaders.ts URL READERS`. Says `all begun` when each
 * has its snapshot, and in the end, as JSON, how many lines came, how the sockets closed and what was out of order.
 */
const [url = "", count = "1"] = process.argv.slice(2);
const readers = Number(count);
const codes: Record<number, number> = {};
const faults: string[] = [];
let lines = 0;
let begun = 0;

await Promise.all(
  Array.from({ length: readers }, (_, reader) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = new WebSocket(url);
    let seq = 0;
    let expected = 0;
    socket.addEventListener("message", ({ data }) => {
      // Only what is compared is taken out: parsing ten million messages would measure the reader.
      const text = String(data);
      const type = text.startsWith('{"type":"log"') ? "log" : JSON.parse(text).type;
      const at = Number(/"seq":(\d+)/.exec(text)?.[1]);
      if (!(at > seq)) faults.push(`reader ${reader}: ${at} after ${seq}`);
      seq = at;
      if (type === "log") {
        if (!text.includes(`"line":"line ${expected}"`)) faults.push(`reader ${reader}: no line ${expected}`);
        expected++;
        lines++;
      } else if (type === "snapshot" && ++begun === readers) console.log("all begun");
    });
    socket.addEventListener("close", ({ code }) => {
      codes[code] = (codes[code] ?? 0) + 1;
      resolve();
    });
    return promise;
  }),
);
console.log(JSON.stringify({ codes, faults: faults.slice(0, 20), lines }, null, 2));

export {};
