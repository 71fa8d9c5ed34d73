/**
 * Stands between a store and its database and cuts connections at the worst moment: when a commit is sent.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

export type Cut = "before the commit arrives" | "before its answer arrives";

export class CutProxy {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next: Cut | null = null;
  #meanwhile: (() => Promise<void>) | undefined;
  /** New connections are made when this has resolved. */
  #isOpen: Promise<void> = Promise.resolve();

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static start(url: string): Promise<CutProxy> {
    const target = new URL(url);
    return new Promise((resolve, reject) => {
      const server = createServer();
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        if (address === null || typeof address !== "object") return reject(new Error("no port"));
        const own = new URL(url);
        own.port = String(address.port);
        const proxy = new CutProxy(server, own.href);
        server.on("connection", async (client) => {
          client.pause().on("error", () => {});
          await proxy.#isOpen;
          proxy.#join(client.resume(), target);
        });
        resolve(proxy);
      });
    });
  }

  /**
   * Cuts the connection of the next commit.
   * @param meanwhile done then, before the next connection is made
   */
  cutNext(cut: Cut, meanwhile?: () => Promise<void>): void {
    this.#next = cut;
    this.#meanwhile = meanwhile;
  }

  #join(client: Socket, target: URL): void {
    const upstream = connect({ host: target.hostname, port: Number(target.port) });
    this.#sockets.add(client).add(upstream);
    let isCut = false;
    client.on("data", (bytes) => {
      const cut = this.#next;
      if (cut !== null && bytes.includes("COMMIT")) {
        this.#next = null;
        isCut = true;
        if (this.#meanwhile !== undefined) this.#isOpen = this.#meanwhile();
        if (cut === "before the commit arrives") {
          upstream.destroy();
          client.destroy();
          return;
        }
      }
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (isCut) {
        client.destroy();
        upstream.destroy();
      } else client.write(bytes);
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on("error", () => {});
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
