import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testNeeding } from "../../testNeeding.ts";
import { noise, sha256 } from "./testCache.ts";

const folder = mkdtempSync(join(tmpdir(), "yardmaster-tls-"));
const bytes = noise(50_000);
const sum = sha256(bytes);
const hasOpenssl = Bun.which("openssl") !== null;
const opensslTest = testNeeding(hasOpenssl ? null : "openssl is not installed");
let host: ReturnType<typeof Bun.serve>;

/** A certificate for `name`, signed by itself. */
function certificate(name: string): { cert: string; key: string; certPath: string } {
  const keyPath = join(folder, `${name}.key`);
  const certPath = join(folder, `${name}.pem`);
  Bun.spawnSync([
    ...[
      "openssl",
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
    ],
    ...[
      "-keyout",
      keyPath,
      "-out",
      certPath,
      "-subj",
      `/CN=${name}`,
      "-addext",
      `subjectAltName=DNS:${name}`,
    ],
  ]);
  return { cert: readFileSync(certPath, "utf8"), key: readFileSync(keyPath, "utf8"), certPath };
}

beforeAll(() => {
  if (!hasOpenssl) return;
  const { cert, key } = certificate("localhost");
  host = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert, key },
    fetch: (request) => new Response(request.headers.get("host")?.startsWith("localhost:") ? bytes : null),
  });
});
afterAll(async () => {
  await host?.stop(true);
  rmSync(folder, { recursive: true, force: true });
});

/** Holds the binary in a process that trusts one certificate more. */
async function held(url: string, trusted: string): Promise<{ stdout: string; stderr: string }> {
  const cache = mkdtempSync(join(folder, "cache-"));
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "holdingProcess.ts"), cache, url, sum], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: trusted },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { value } = await child.stdout.getReader().read();
  child.kill("SIGKILL");
  return {
    stdout: value === undefined ? "" : new TextDecoder().decode(value).trim(),
    stderr: await new Response(child.stderr).text(),
  };
}

opensslTest(
  "a certificate is checked against the name, though the connection goes to an address",
  async () => {
    const url = `https://localhost:${host.port}/tool`;
    expect((await held(url, join(folder, "localhost.pem"))).stdout).toBe("held");
  },
);

opensslTest("an untrusted certificate, or another name's, is a reason to refuse", async () => {
  const { certPath } = certificate("unrelated");
  const untrusted = await held(`https://localhost:${host.port}/tool`, certPath);
  expect(untrusted.stderr).toContain("certificate of the other side is not trusted");
  const otherName = await held(`https://127.0.0.1:${host.port}/tool`, join(folder, "localhost.pem"));
  expect(otherName.stderr).toContain("certificate of the other side is not trusted");
});
