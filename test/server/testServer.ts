/** A real server on a free port, over a fake engine or a given one; gone when the test's `using` ends. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { Engine } from "../../src/engine/engine.ts";
import type { ServerLimits } from "../../src/server/limits.ts";
import { type RunningServer, type StartServerOptions, startServer } from "../../src/server/startServer.ts";
import { openDirectoryBlobStore } from "../../src/store/blobs/directoryBlobStore.ts";
import { type FakeEngine, fakeEngine, type Overrides } from "./fakeEngine.ts";

export interface TestServer<E extends Engine = FakeEngine> extends AsyncDisposable {
  readonly url: string;
  readonly engine: E;
  readonly server: RunningServer;
  /** Where the blobs are. */
  readonly directory: string;
  /** Lines that were logged at "error". */
  readonly errors: string[];
}

type Extra = Pick<StartServerOptions, "dialects" | "access"> &
  Partial<Pick<StartServerOptions, "logger">> & { readonly limits?: Partial<ServerLimits> };

/** Starts a server over a fake engine. */
export function startTestServer(overrides: Overrides = {}, extra: Extra = {}): Promise<TestServer> {
  return startTestServerWith(fakeEngine(overrides), extra);
}

/** Starts a server over the given engine. */
export async function startTestServerWith<E extends Engine>(
  engine: E,
  extra: Extra = {},
): Promise<TestServer<E>> {
  const directory = await mkdtemp(join(tmpdir(), "yardmaster-server-"));
  const errors: string[] = [];
  const logger = pino({ level: "error" }, { write: (line: string) => void errors.push(line) });
  const blobs = await openDirectoryBlobStore(directory);
  const listen = [{ host: "127.0.0.1", port: 0 }];
  const server = await startServer({ engine, blobs, listen, logger, ...extra });
  const url = server.addresses[0]?.url ?? "";
  return {
    url,
    engine,
    server,
    directory,
    errors,
    async [Symbol.asyncDispose]() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
