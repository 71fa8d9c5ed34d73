/**
 * One connection to the database, from its opening to its end. A session is never opened again under the same
 * object: statements of a transaction that was cut off can so never reach another connection, where each would
 * stand alone.
 *
 * Statements are sent at once and answered in order; who does not wait for one before sending the next pays
 * for one round trip only.
 */
import { connect, type Socket } from "node:net";
import postgres from "postgres";
import type { DatabaseAddress } from "./databaseAddress.ts";
import { decodeText, encodeText } from "./text.ts";

export type Parameter = string | number | boolean | null;

export interface SessionOptions {
  readonly address: DatabaseAddress;
  /** What `pg_stat_activity` tells of the connection. */
  readonly applicationName: string;
  /** Settings of the server for this connection. */
  readonly settings: Readonly<Record<string, string>>;
  readonly connectTimeoutMs: number;
  readonly onNotification?: (payload: string) => void;
  readonly onLost?: () => void;
}

/** The connection is not there any more. */
export class SessionLostError extends Error {
  override readonly name = "SessionLostError";
  readonly code = "CONNECTION_CLOSED";
}

// Statements are kept prepared; `simple` would send those without parameters as text each time.
const PREPARED = { prepare: true, simple: false };
const UNPREPARED = { prepare: false, simple: false };
const SIMPLE = { prepare: false, simple: true };

export class Session {
  /** No other session has the same, ever. */
  readonly id = crypto.randomUUID();
  #number = 0;
  readonly #sql: postgres.Sql<{ bigint: number; text: string }>;
  /** Ends the waits of statements that were sent and not answered. */
  readonly #unanswered = new Set<(reason: Error) => void>();
  #socket: Socket | undefined;
  #reserved: postgres.ReservedSql<{ bigint: number; text: string }> | undefined;
  #isLost = false;

  private constructor(options: SessionOptions, host: { readonly name: string; readonly port: number }) {
    const { address } = options;
    const settings = {
      max: 1,
      host: host.name,
      port: host.port,
      user: address.user,
      database: address.database,
      ...(address.password === null ? {} : { password: address.password }),
      ssl: address.ssl,
      connect_timeout: options.connectTimeoutMs / 1_000,
      idle_timeout: 0,
      max_lifetime: null,
      fetch_types: false,
      onnotice: () => {},
      onnotify: (_channel: string, payload: string) => options.onNotification?.(payload),
      onclose: () => {
        this.#end();
        options.onLost?.();
      },
      // The first socket is the only one: a reconnect would be another session.
      socket: () => this.#connect(host),
      connection: { application_name: options.applicationName, ...options.settings },
      types: {
        bigint: { to: 20, from: [20], serialize: String, parse: Number },
        text: { to: 25, from: [25], serialize: encodeText, parse: decodeText },
      },
    };
    this.#sql = postgres(settings);
  }

  /** @throws what kept it from being opened: see `unavailableReason` */
  static async open(options: SessionOptions): Promise<Session> {
    let reason: unknown;
    // Several hosts are one database and its standbys: the first that takes writes is the one.
    for (const host of options.address.hosts) {
      const session = new Session(options, host);
      try {
        // Also opens the connection, which reserving it would not where the types of arrays are not fetched.
        const [state] = await session.#sql.unsafe<{ isReadOnly: string }[]>(
          `SELECT current_setting('transaction_read_only') AS "isReadOnly"`,
        );
        session.#reserved = await session.#sql.reserve();
        const isLastHost = host === options.address.hosts.at(-1);
        if (state?.isReadOnly === "off" || isLastHost) return session;
        session.close();
      } catch (error) {
        reason = error;
        session.close();
      }
    }
    throw reason ?? new SessionLostError("no host is known");
  }

  /** Counts the transactions. */
  nextNumber(): number {
    return ++this.#number;
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** Runs a statement; it is kept prepared. */
  async query<Row extends object>(
    statement: string,
    parameters: readonly Parameter[] = [],
  ): Promise<readonly Row[]> {
    return this.#send<Row>(statement, parameters, PREPARED);
  }

  /** Runs a statement that is put together as it is needed: it is not kept. */
  async queryOnce<Row extends object>(
    statement: string,
    parameters: readonly Parameter[] = [],
  ): Promise<readonly Row[]> {
    return this.#send<Row>(statement, parameters, UNPREPARED);
  }

  /** Runs one or several statements without parameters as they stand. */
  async run(statements: string): Promise<void> {
    await this.#send(statements, [], SIMPLE);
  }

  #send<Row extends object>(
    statement: string,
    parameters: readonly Parameter[],
    options: typeof PREPARED,
  ): Promise<readonly Row[]> {
    const session = this.#reserved;
    if (this.#isLost || session === undefined) return Promise.reject(lost());
    return new Promise((resolve, reject) => {
      // What waits in line when the connection ends is never answered by itself.
      this.#unanswered.add(reject);
      session
        .unsafe<Row[]>(statement, [...parameters], options)
        .execute()
        .then(
          (rows) => {
            this.#unanswered.delete(reject);
            resolve(rows);
          },
          (error: unknown) => {
            this.#unanswered.delete(reject);
            reject(error);
          },
        );
    });
  }

  /** Ends the connection at once; what was not committed is undone by the server. */
  close(): void {
    this.#end();
    this.#socket?.destroy();
    this.#sql.end({ timeout: 0 }).catch(() => {});
  }

  #end(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    const reason = lost();
    for (const reject of this.#unanswered) reject(reason);
    this.#unanswered.clear();
  }

  #connect(host: { readonly name: string; readonly port: number }): Promise<Socket> {
    if (this.#socket !== undefined || this.#isLost) throw lost();
    const isPath = host.name.startsWith("/");
    const socket = isPath
      ? connect({ path: `${host.name}/.s.PGSQL.${host.port}` })
      : connect({ host: host.name, port: host.port });
    this.#socket = socket;
    socket.setNoDelay(true);
    return new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        // The name that a certificate is checked against.
        resolve(isPath ? socket : Object.assign(socket, { host: host.name }));
      });
    });
  }
}

function lost(): SessionLostError {
  return new SessionLostError("the connection was lost");
}
