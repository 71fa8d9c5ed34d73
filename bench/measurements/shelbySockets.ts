/** Memory of a server while thousands of WebSockets follow it, and lines come. */
import { Connection } from "../connection.ts";
import { type Effort, type Figure, plain } from "../figure.ts";
import { Followers } from "../followers.ts";
import { type Bench, highestMb } from "../processes.ts";
import { fillStore, logLineBytes } from "../shelby.ts";

const JOBS = 500;
const LINES = 200;
const MAX_MIB = 500;
const FOLLOWED = "pending-1";

const PLACES = {
  "one log": () => logPath(FOLLOWED),
  [`${JOBS} logs, dashboard, nodes`]: (index: number) => {
    if (index % 10 === 0) return "/ws/dashboard";
    return index % 10 === 5 ? "/ws/nodes" : logPath(`pending-${index % JOBS}`);
  },
};

export async function shelbySockets(bench: Bench, { openSockets }: Effort): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [name, pathOf] of Object.entries(PLACES)) {
    const data = bench.dataFolder();
    await fillStore(data, { pending: JOBS, finished: 0 });
    const server = await bench.server(data);
    const paths = Array.from({ length: openSockets }, (_, index) => pathOf(index));
    const followers = await Followers.open(server, paths);
    const sender = await Connection.open(server.target);
    const heard = followers.arrivals(LINES * paths.filter((path) => path === logPath(FOLLOWED)).length);
    const sending = (async () => {
      for (let number = 1; number <= LINES; number += 1) {
        followers.sends(number);
        await sender.request(logLineBytes(FOLLOWED, number));
      }
    })();
    await Promise.all([sending, heard]);
    const words = openSockets.toLocaleString("en-GB");
    figures.push(
      plain(
        `shelby: most memory of the server, ${words} WebSockets on ${name}`,
        "MiB",
        highestMb(server.pid),
        MAX_MIB,
      ),
    );
    followers.close();
    sender.close();
    await bench.end(server.pid);
  }
  return figures;
}

function logPath(jobId: string): string {
  return `/ws/jobs/${jobId}/logs`;
}
