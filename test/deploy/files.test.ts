/** The deployment files name what there is: settings, paths, programs. Tools that can check them do, where they are at hand. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SETTING_NAMES, SETTINGS, variableOf } from "../../src/cli/settings.ts";
import { testNeeding } from "../testNeeding.ts";

const ROOT = join(import.meta.dir, "../..");
const DEPLOY = join(ROOT, "deploy");
const CHART = join(DEPLOY, "helm/yardmaster");
const files = [...new Bun.Glob("**/*").scanSync({ cwd: DEPLOY, dot: true })];
const read = (file: string) => readFileSync(join(DEPLOY, file), "utf8");

function run(argv: readonly string[]): { exitCode: number; output: string } {
  const ended = Bun.spawnSync([...argv], { cwd: ROOT, stdin: "ignore" });
  return { exitCode: ended.exitCode, output: ended.stdout.toString() + ended.stderr.toString() };
}

function freePort(): number {
  const probe = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port } = probe;
  probe.stop(true);
  if (port === undefined) throw new Error("no port");
  return port;
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not so in time: ${isSo}`);
    await Bun.sleep(20);
  }
}

const needing = (program: string) =>
  testNeeding(Bun.which(program) === null ? `${program} is not installed` : null);

test.each(files)("%s names only settings that there are", (file) => {
  const known = new Set(SETTING_NAMES.map((name) => variableOf(SETTINGS[name])));
  const named = read(file).match(/\bYARDMASTER_[A-Z0-9_]+/g) ?? [];
  expect(named.filter((name) => !known.has(name))).toEqual([]);
});

describe("the images", () => {
  const text = read("Containerfile");

  test("are made of what the repository has, and of nothing that is left out of the context", () => {
    const kept = read("Containerfile.dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    const copied = [...text.matchAll(/^COPY (?!--from)(.+)$/gm)].flatMap(([, words = ""]) =>
      words.split(" ").slice(0, -1),
    );
    expect(copied.length).toBeGreaterThan(3);
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    const isKept = (path: string) => kept.some((one) => path === one || `${path}/`.startsWith(`${one}/`));
    expect(copied.map((path) => path.replace(/\/$/, "")).filter((path) => !isKept(path))).toEqual([]);
  });

  test("hold every dependency that runs, and run as nobody special", () => {
    expect(text).toContain("npm ci --omit=dev");
    expect(text.match(/^FROM .* AS (server|agent)$/gm)?.length).toBe(2);
    expect(text.match(/^USER 10001:10001$/gm)?.length).toBe(2);
  });
});

describe("the compose file", () => {
  interface Service {
    readonly build?: { readonly target: string; readonly dockerfile: string };
    readonly environment?: Readonly<Record<string, string>>;
    readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>;
    readonly volumes?: readonly string[];
  }
  const parsed: unknown = Bun.YAML.parse(read("compose/compose.yaml"));
  const compose = parsed as {
    readonly services: Readonly<Record<string, Service>>;
    readonly volumes: Readonly<Record<string, unknown>>;
  };

  test("has two servers that are alike, and waits for services that it has", () => {
    const { "server-1": first, "server-2": second } = compose.services;
    expect(first?.environment).toEqual(second?.environment ?? {});
    expect(first?.build?.target).toBe("server");
    for (const service of Object.values(compose.services)) {
      const needed = service.depends_on ?? [];
      const names = Array.isArray(needed) ? needed : Object.keys(needed);
      expect(names.filter((name) => !(name in compose.services))).toEqual([]);
      for (const volume of service.volumes ?? []) {
        const [place = ""] = volume.split(":");
        const isThere = place.startsWith(".")
          ? existsSync(join(DEPLOY, "compose", place))
          : place in compose.volumes;
        expect([volume, isThere]).toEqual([volume, true]);
      }
    }
  });

  test("takes every secret from the file that .env.example shows", () => {
    const asked = [...read("compose/compose.yaml").matchAll(/\$\{(\w+)|environment: (\w+)$/gm)];
    const shown = read("compose/.env.example");
    for (const [, variable, secret] of asked) expect(shown).toContain(`\n${variable ?? secret}=`);
  });
});

describe("the load balancers", () => {
  for (const name of ["haproxy.cfg", "compose/haproxy.cfg"])
    needing("haproxy")(`${name} is valid`, () => {
      const folder = mkdtempSync(join(tmpdir(), "yardmaster-deploy-"));
      try {
        const file = join(folder, "haproxy.cfg");
        // Names of containers are known among containers only.
        writeFileSync(file, read(name).replaceAll(/ server-\d:8000/g, " 127.0.0.1:8000"));
        expect(run(["haproxy", "-c", "-f", file])).toMatchObject({ exitCode: 0 });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });

  for (const name of ["haproxy.cfg", "compose/haproxy.cfg"])
    needing("haproxy")(
      `${name} lets requests wait at the servers while none is ready, and tells when none runs`,
      async () => {
        const folder = mkdtempSync(join(tmpdir(), "yardmaster-deploy-"));
        let looks = 0;
        const unready = Bun.serve({
          port: 0,
          hostname: "127.0.0.1",
          fetch: (request) => {
            const { pathname } = new URL(request.url);
            if (pathname === "/readyz") looks++;
            return new Response("from the server", { status: pathname === "/readyz" ? 503 : 200 });
          },
        });
        const place = `127.0.0.1:${freePort()}`;
        const file = join(folder, "haproxy.cfg");
        const text = read(name)
          .replaceAll(/ (server-\d:8000|127\.0\.0\.1:800[12])/g, ` 127.0.0.1:${unready.port}`)
          .replace(/bind \S+/, `bind ${place}`)
          .replaceAll("inter 2s", "inter 50ms");
        writeFileSync(file, text);
        const balancer = Bun.spawn(["haproxy", "-f", file], { stdio: ["ignore", "ignore", "ignore"] });
        try {
          const ask = () => fetch(`http://${place}/v1/jobs`, { keepalive: false });
          // Two servers, out after two looks each.
          await until(() => looks >= 6);
          const waited = await ask();
          expect([waited.status, await waited.text()]).toEqual([200, "from the server"]);
          await unready.stop(true);
          await until(async () => (await ask()).headers.get("retry-after") === "2");
          expect((await ask()).status).toBe(503);
        } finally {
          balancer.kill("SIGKILL");
          await balancer.exited;
          await unready.stop(true);
          rmSync(folder, { recursive: true, force: true });
        }
      },
    );
});

describe("the systemd units", () => {
  test.each(["yardmaster-server.service", "yardmaster-agent.service"])(
    "%s starts a command that there is",
    (unit) => {
      const command = /^ExecStart=\/opt\/yardmaster\/(\S+) (\w+)$/m.exec(read(`systemd/${unit}`));
      expect(existsSync(join(ROOT, command?.[1] ?? "nothing"))).toBe(true);
      expect(run([process.execPath, "src/cli/main.ts", command?.[2] ?? "nothing", "--help"]).exitCode).toBe(
        0,
      );
    },
  );

  needing("systemd-analyze")("are valid", () => {
    const units = files.filter((file) => file.endsWith(".service")).map((file) => join(DEPLOY, file));
    const { output } = run(["systemd-analyze", "verify", "--man=no", ...units]);
    // The program is not installed here, which is all that may be wrong.
    const wrong = output
      .split("\n")
      .filter((line) => /yardmaster-/.test(line) && !line.includes("is not executable"));
    expect(wrong).toEqual([]);
  });
});

describe("the Helm chart", () => {
  test("is of the version of the program", () => {
    const { version: ours } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    expect(read("helm/yardmaster/Chart.yaml")).toContain(`\nappVersion: ${ours}`);
  });

  test("asks for its life and its readiness where the server tells them", () => {
    const server = read("helm/yardmaster/templates/server.yaml");
    expect(server).toMatch(/livenessProbe:\s+httpGet: \{ path: \/healthz/);
    expect(server).toMatch(/readinessProbe:\s+httpGet: \{ path: \/readyz/);
  });

  const given = ["--set", "existingSecret=keys,blobs.address=s3://bucket/yard"];
  needing("helm")("is taken by helm lint, and renders what the API server would take", () => {
    expect(run(["helm", "lint", CHART, ...given])).toMatchObject({ exitCode: 0 });
    const rendered = Bun.spawnSync(["helm", "template", "yard", CHART, "--kube-version", "1.29.0", ...given]);
    const text = rendered.stdout.toString();
    const kinds = text
      .split(/^---$/m)
      .map((document) => Bun.YAML.parse(document) as { kind?: string } | null)
      .flatMap((document) => document?.kind ?? []);
    expect(kinds.sort()).toEqual(["PodDisruptionBudget", "Service", "StatefulSet", "StatefulSet"]);
  });

  needing("helm")("refuses to be installed without keys, or with several servers and no bucket", () => {
    const template = (...set: string[]) =>
      run(["helm", "template", "yard", CHART, "--kube-version", "1.29.0", "--set", set.join(",")]);
    expect(template("server.replicas=1").output).toContain("secrets.storeUrl: give the database");
    expect(template("existingSecret=keys").output).toContain("several servers need a bucket");
  });
});
