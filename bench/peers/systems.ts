/** The systems that are measured: what each needs running, and the program that gives it work. */
import { join, resolve } from "node:path";
import type { Cluster } from "../../test/postgres/cluster.ts";
import { NODE } from "./peerInstallation.ts";
import { type Fsync, startRedis } from "./redisServer.ts";
import { startYardmaster, type YardmasterServer } from "./yardmasterServers.ts";

const PROGRAMS = resolve(import.meta.dir, "programs");

/** What systems are started with. */
export interface Machine {
  /** For files that go with the run. */
  readonly folder: string;
  readonly cluster: Cluster;
  /** The PostgreSQL server's main process. */
  readonly postgresPid: number;
}

/** A system that runs. */
export interface Running {
  /** Command line of its program. */
  readonly program: readonly string[];
  /** Its own servers between program and store; none for libraries. */
  readonly serverPids: readonly number[];
  /** The store's process, when it is none of the servers. */
  readonly storePid: number | null;
  stop(): Promise<void>;
}

export interface System {
  readonly name: string;
  /** In words, for the table's head. */
  readonly title: string;
  readonly isOurs: boolean;
  readonly needsRedis: boolean;
  start(machine: Machine): Promise<Running>;
}

function yardmaster(name: string, title: string, servers: number, onPostgres: boolean): System {
  return {
    name,
    title,
    isOurs: true,
    needsRedis: false,
    async start({ folder, cluster, postgresPid }) {
      const store = onPostgres ? await cluster.newDatabase() : null;
      const started: YardmasterServer[] = [];
      for (let count = 0; count < servers; count += 1) started.push(await startYardmaster(folder, store));
      return {
        program: [process.execPath, join(PROGRAMS, "yardmaster.ts"), ...started.map(({ url }) => url)],
        serverPids: started.map(({ pid }) => pid),
        storePid: onPostgres ? postgresPid : null,
        async stop() {
          for (const server of started) await server.stop();
        },
      };
    },
  };
}

function onPostgres(name: string, title: string, program: string): System {
  return {
    name,
    title,
    isOurs: false,
    needsRedis: false,
    async start({ cluster, postgresPid }) {
      const url = await cluster.newDatabase();
      return {
        program: [NODE, join(PROGRAMS, program), url],
        serverPids: [],
        storePid: postgresPid,
        stop: async () => {},
      };
    },
  };
}

function bullMq(fsync: Fsync): System {
  return {
    name: `bullmq-${fsync}`,
    title: `BullMQ, fsync ${fsync}`,
    isOurs: false,
    needsRedis: true,
    async start({ folder }) {
      const redis = await startRedis(folder, fsync);
      return {
        program: [NODE, join(PROGRAMS, "bullMq.mjs"), String(redis.port)],
        serverPids: [],
        storePid: redis.pid,
        stop: () => redis.stop(),
      };
    },
  };
}

/** In the order in which they are measured and shown. */
export const SYSTEMS: readonly System[] = [
  yardmaster("yardmaster-sqlite", "Yardmaster, SQLite", 1, false),
  yardmaster("yardmaster-1", "Yardmaster, PostgreSQL, 1 server", 1, true),
  yardmaster("yardmaster-2", "Yardmaster, PostgreSQL, 2 servers", 2, true),
  onPostgres("graphile-worker", "graphile-worker", "graphileWorker.mjs"),
  onPostgres("pg-boss", "pg-boss", "pgBoss.mjs"),
  bullMq("always"),
  bullMq("everysec"),
];
