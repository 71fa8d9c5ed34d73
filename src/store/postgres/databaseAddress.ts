/** Where a database is, as `postgres://user:password@host:port/database` tells. */
import { StoreRefusedError } from "./faults.ts";

export interface DatabaseAddress {
  /** More than one where standbys may take over. */
  readonly hosts: readonly { readonly name: string; readonly port: number }[];
  readonly user: string;
  readonly password: string | null;
  readonly database: string;
  readonly ssl: false | "require" | "prefer" | "verify-full";
}

const DEFAULT_PORT = 5432;
const SSL_MODES = ["disable", "prefer", "require", "verify-full"] as const;

/**
 * Reads the address. Parts that are missing come from `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD` and `PGDATABASE`.
 * @throws StoreRefusedError in words that do not hold the password
 */
export function parseDatabaseAddress(
  text: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): DatabaseAddress {
  const match = /^postgres(?:ql)?:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(text);
  if (match === null) {
    throw new StoreRefusedError(
      "the address of the database must look like postgres://user:password@host:5432/database",
    );
  }
  const [, login = "", places = "", name = "", query = ""] = match;
  // Whatever stands before the last @ may be a part of the password: none of it may come into a message.
  if (`${places}/${name}?${query}`.includes("@")) {
    throw new StoreRefusedError(
      "the address of the database has an @ behind its host: in a user or password write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25",
    );
  }
  const colon = login.indexOf(":");
  const user = decode(colon === -1 ? login : login.slice(0, colon)) || environment.PGUSER;
  const password = colon === -1 ? environment.PGPASSWORD : decode(login.slice(colon + 1));
  if (user === undefined || user === "") {
    throw new StoreRefusedError("the address of the database names no user: postgres://USER@host/database");
  }
  const options = new URLSearchParams(query);
  const hosts = (places === "" ? (options.get("host") ?? environment.PGHOST ?? "localhost") : places).split(
    ",",
  );
  return {
    hosts: hosts.map((place) => parseHost(place, environment.PGPORT)),
    user,
    password: password ?? null,
    database: decode(name) || environment.PGDATABASE || user,
    ssl: parseSslMode(options),
  };
}

/** The address as it may be shown. */
export function describeAddress({ hosts, user, database }: DatabaseAddress): string {
  const places = hosts.map(({ name, port }) => `${name.includes(":") ? `[${name}]` : name}:${port}`);
  return `postgres://${user}@${places.join(",")}/${database}`;
}

function parseHost(text: string, defaultPort: string | undefined): DatabaseAddress["hosts"][number] {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(decode(text)) ?? [];
  const name = bracketed ?? plain;
  const number = Number(port ?? defaultPort ?? DEFAULT_PORT);
  if (name === undefined || name === "" || !Number.isInteger(number) || number < 1 || number > 65_535) {
    throw new StoreRefusedError(
      `the address of the database names no usable host: ${JSON.stringify(text)}; use HOST or HOST:PORT, several with commas`,
    );
  }
  return { name, port: number };
}

function parseSslMode(options: URLSearchParams): DatabaseAddress["ssl"] {
  for (const key of options.keys()) {
    if (key !== "sslmode" && key !== "host") {
      throw new StoreRefusedError(
        `the address of the database has the option ${JSON.stringify(key)}; allowed are sslmode and host`,
      );
    }
  }
  const mode = options.get("sslmode") ?? "disable";
  const known = SSL_MODES.find((one) => one === mode);
  if (known === undefined) {
    throw new StoreRefusedError(
      `sslmode must be one of ${SSL_MODES.join(", ")}, not ${JSON.stringify(mode)}`,
    );
  }
  return known === "disable" ? false : known;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new StoreRefusedError(
      "the address of the database has a % that is not followed by two hexadecimal digits",
    );
  }
}
