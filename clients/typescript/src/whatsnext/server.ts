/**
 * A WhatsNext server, by its address.
 *
 * ```ts
 * const server = new Server("localhost", 8000, { apiKey: process.env.WHATSNEXT_API_KEY });
 * const project = await server.getProject("my-project");
 * ```
 */
import { type CallOptions, Connection, type ConnectionOptions } from "./connection.ts";
import { Project } from "./project.ts";
import { readTimestamp } from "./timestamp.ts";
import type { ClientWire, ProjectStatus, ProjectWire } from "./wire.ts";

export type ServerOptions = ConnectionOptions;

export interface ListProjectsOptions extends CallOptions {
  /** Default `ACTIVE`; null lists all. */
  status?: ProjectStatus | null | undefined;
  /** Most projects to answer, 1 to 1,000; default 100. */
  limit?: number | undefined;
  /** How many to leave out at the front. */
  skip?: number | undefined;
}

export interface ListClientsOptions extends CallOptions {
  /** Default true. */
  activeOnly?: boolean | undefined;
  limit?: number | undefined;
  skip?: number | undefined;
}

/** A worker as the server knows it. */
export interface ClientInfo {
  readonly id: string;
  readonly name: string;
  readonly entity: string;
  readonly description: string;
  readonly availableCpu: number;
  readonly availableAccelerators: number;
  readonly lastHeartbeat: Date;
  readonly createdAt: Date;
  readonly isActive: boolean;
}

export class Server {
  readonly hostname: string;
  readonly port: number;
  /** `http://localhost:8000`. */
  readonly baseUrl: string;
  readonly #connection: Connection;

  /**
   * @param hostname name or address, without scheme; an IPv6 address with or without brackets
   * @throws {TypeError} for a hostname that holds a scheme or a path
   * @throws {RangeError} for a port outside 1 to 65,535
   */
  constructor(hostname: string, port: number, options: ServerOptions = {}) {
    if (hostname === "" || /[/?#@\s]/.test(hostname)) {
      throw new TypeError(`hostname must be a host name or address such as "localhost", got "${hostname}"`);
    }
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new RangeError(`port must be an integer from 1 to 65535, got ${port}`);
    }
    this.hostname = hostname;
    this.port = port;
    const host = hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname;
    this.baseUrl = `${options.https ? "https" : "http"}://${host}:${port}`;
    this.#connection = new Connection(this.baseUrl, options);
  }

  /** Asks whether the server answers; gives its message. */
  async checkConnection(options: CallOptions = {}): Promise<string> {
    return (await this.#connection.read<{ message: string }>("/", {}, options)).message;
  }

  /** Asks whether the server's store answers; throws `HttpError` 503 when it does not. */
  async checkDatabase(options: CallOptions = {}): Promise<string> {
    return (await this.#connection.read<{ message: string }>("/checkdb", {}, options)).message;
  }

  /** The project with that name; `HttpError` 404 when there is none. */
  async getProject(name: string, options: CallOptions = {}): Promise<Project> {
    const path = `/projects/name/${encodeURIComponent(name)}`;
    return new Project(this.#connection, await this.#connection.read<ProjectWire>(path, {}, options));
  }

  async listProjects({ status, limit, skip, signal }: ListProjectsOptions = {}): Promise<Project[]> {
    const query = { status: status === null ? "" : status, limit, skip };
    const projects = await this.#connection.read<ProjectWire[]>("/projects/", query, { signal });
    return projects.map((project) => new Project(this.#connection, project));
  }

  /** Creates a project; `HttpError` 400 when the name is taken. */
  async appendProject(name: string, description = "", options: CallOptions = {}): Promise<Project> {
    const project = await this.#connection.create<ProjectWire>("/projects/", { name, description }, options);
    return new Project(this.#connection, project);
  }

  /** Deletes a project with its tasks and jobs. */
  async deleteProject(name: string, options: CallOptions = {}): Promise<void> {
    await this.#connection.remove(`/projects/name/${encodeURIComponent(name)}`, options);
  }

  /** The registered workers. */
  async listClients({ activeOnly, limit, skip, signal }: ListClientsOptions = {}): Promise<ClientInfo[]> {
    const query = { active_only: activeOnly, limit, skip };
    const clients = await this.#connection.read<ClientWire[]>("/clients/", query, { signal });
    return clients.map((client) => ({
      id: client.id,
      name: client.name,
      entity: client.entity,
      description: client.description ?? "",
      availableCpu: client.available_cpu,
      availableAccelerators: client.available_accelerators,
      lastHeartbeat: readTimestamp(client.last_heartbeat),
      createdAt: readTimestamp(client.created_at),
      isActive: client.is_active === 1,
    }));
  }
}
