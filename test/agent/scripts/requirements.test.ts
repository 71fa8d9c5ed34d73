/** Requirements as they are given, installed by real installers, and what is listed of them. */
import { describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ENVIRONMENTS_FOLDER } from "../../../src/agent/scripts/environments.ts";
import { LIST_ENVIRONMENT, packageList } from "../../../src/agent/scripts/installedPackages.ts";
import { askedInstallers, normalRequirements } from "../../../src/agent/scripts/requirements.ts";
import { testNeeding } from "../../testNeeding.ts";
import { sandboxTest } from "../isolation/machine.ts";
import { temporaryDirectory } from "../testAgent.ts";
import { offlineRequirements, type ScriptYard, scriptYard, sha256, writeWheel } from "./scriptYard.ts";

const uvTest = testNeeding(Bun.which("uv") === null ? "uv is not installed" : null);

async function packagesOf(
  yard: ScriptYard,
  requirements: string,
  usesUv: boolean,
): Promise<readonly string[]> {
  const agent = await yard.agent({ usesUv, isolation: "off" });
  const job = await yard.run("print(1)", { requirements });
  expect([job.error, job.state]).toEqual([null, "succeeded"]);
  const [record] = await yard.client.records(job.id, { kind: "provenance" });
  await agent.stop();
  const said: {
    readonly software: { readonly packages: readonly string[] };
    readonly inputs: { readonly requirements: { readonly resolvedSha256: string } };
  } = JSON.parse(JSON.stringify(record?.data));
  expect(said.inputs.requirements.resolvedSha256).toBe(sha256(said.software.packages.join("\n")));
  return said.software.packages;
}

/** A source package whose build needs nothing from an index, and runs `code`. */
function writeSource(folder: string, code = ""): string {
  const source = join(folder, "evil");
  mkdirSync(source);
  writeFileSync(
    join(source, "pyproject.toml"),
    '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
  );
  writeFileSync(join(source, "code.txt"), "ANSWER = 1\n");
  writeFileSync(
    join(source, "backend.py"),
    `
import os, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "evil-1.0-py3-none-any.whl", "evil-1.0.dist-info"
    here = os.path.dirname(os.path.abspath(__file__))
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("evil.py", open(os.path.join(here, "code.txt")).read())
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: evil\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", f"evil.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n")
${code.replaceAll(/^/gm, "    ")}
    return name
`,
  );
  return source;
}

describe("the form of requirements", () => {
  const same: [string, string][] = [
    ["six\n", "\ufeff# all of it\r\n  six   # pinned below\r\n\r\n"],
    ["a\n-r b", "a # c\n\n\t-r b\t"],
  ];
  test.each(same)("%j has the form of %j", (one, other) => {
    expect(normalRequirements(one)).toBe(normalRequirements(other));
  });
  // Of each pair installers make two different environments.
  const different: [string, string][] = [
    ["six \\\n# c\nidna", "six \\\nidna"],
    ["six \\ \n# c\nidna", "six \\ \nidna"],
    ["six\\\n#c", "six\\\n"],
    ["six # c\u2028idna", "six"],
    ["six # c\x0bidna", "six"],
    ["six # c\ridna", "six\nidna"],
    ["# coding: utf-7\nsix # +AAo-idna", "six"],
    ["# vim: set fileencoding=utf-7 :\nsix # +AAo-idna", "six"],
  ];
  test.each(different)("%j is not told from %j by its comments", (one, other) => {
    expect(normalRequirements(one)).not.toBe(normalRequirements(other));
  });
  test("tells which of the installers' own packages are asked for", () => {
    expect(askedInstallers("setuptools>=60\r\n Pip # c\n# wheel\nuv-tool\nx[wheel]")).toEqual([
      "pip",
      "setuptools",
    ]);
  });
});

test("requirements with a comment after a continued line are installed as they are given", async () => {
  await using yard = await scriptYard();
  await writeWheel(yard.folder, "first", "1.0", "");
  const wheels = await writeWheel(yard.folder, "second", "2.0", "");
  const lines = ["first==1.0 \\", "# a comment ends what was continued", "second \\", "  ==2.0"];
  const packages = await packagesOf(yard, offlineRequirements(wheels, ...lines), false);
  expect(packages).toEqual(["first==1.0", "second==2.0"]);
});

describe("what is listed of requirements", () => {
  test("names addresses and what lay there, without passwords", async () => {
    await using yard = await scriptYard();
    const wheels = await writeWheel(yard.folder, "tinylib", "1.0", "ANSWER = 42\n");
    const wheel = "tinylib-1.0-py3-none-any.whl";
    const bytes = readFileSync(join(wheels, wheel));
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(bytes) });
    const address = `127.0.0.1:${server.port}/${wheel}`;
    const source = writeSource(yard.folder);
    const requirements = [
      "--no-index",
      `tinylib @ http://user:secret@${address}?token=secret`,
      `evil @ file://${source}`,
    ].join("\n");
    const packages = await packagesOf(yard, requirements, false);
    expect(packages).toEqual([
      expect.stringMatching(new RegExp(`^evil @ file://${source}#contents-sha256=[0-9a-f]{64}$`)),
      `tinylib @ http://${address}?…#sha256=${sha256(bytes)}`,
    ]);
    writeFileSync(join(source, "code.txt"), "ANSWER = 2\n");
    const changed = await packagesOf(yard, `${requirements}\n--prefer-binary`, false);
    expect(changed[0]).toStartWith(`evil @ file://${source}#contents-sha256=`);
    expect(changed[0]).not.toBe(packages[0] ?? "");
    expect(changed[1]).toBe(packages[1] ?? "");
  });

  test("is what was asked for and what that needs, without the installers' own packages", async () => {
    using directory = temporaryDirectory();
    const place = join(directory.path, "lib", "python3", "site-packages");
    const add = (
      name: string,
      version: string,
      more: Record<string, string> = {},
      requires: string[] = [],
    ) => {
      const info = join(place, `${name}-${version}.dist-info`);
      mkdirSync(info, { recursive: true });
      const needs = requires.map((line) => `Requires-Dist: ${line}\n`).join("");
      const metadata = `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n${needs}`;
      for (const [file, text] of Object.entries({ METADATA: metadata, ...more })) {
        writeFileSync(join(info, file), text);
      }
    };
    const listed = async (...asked: string[]): Promise<readonly string[]> => {
      const argv = ["python3", "-I", "-S", "-c", LIST_ENVIRONMENT, directory.path, ...asked];
      const child = Bun.spawn(argv, { stdout: "pipe", stderr: "inherit" });
      return packageList(await new Response(child.stdout).json());
    };
    add("pip", "23.0");
    add("setuptools", "65.0");
    add("wheel", "0.4");
    add("Zeta", "1", {}, ["setuptools>=40", 'wheel; extra == "test"']);
    const commit = "57a049ac04241e4c90d0fa84cdcf5c00d00098a6";
    const git = {
      url: "ssh://git:pw@host/r.git",
      vcs_info: { vcs: "git", commit_id: commit },
      subdirectory: "p",
    };
    add("from_git", "1", { "direct_url.json": JSON.stringify(git) });
    const md5 = { url: "https://h/a.zip", archive_info: { hash: "md5=ab" } };
    add("other_hash", "1", { "direct_url.json": JSON.stringify(md5) });
    add("lies", "1", { "direct_url.json": '{"url": 7}', RECORD: "gone.py,,\n../../../etc/passwd,,\n" });
    const rest = [
      `from_git @ git+ssh://host/r.git@${commit}#subdirectory=p`,
      expect.stringMatching(/^lies @ \?#contents-sha256=/),
      "other_hash @ https://h/a.zip#md5=ab",
    ];
    expect(await listed()).toEqual([...rest, "setuptools==65.0", "Zeta==1"]);
    expect(await listed("pip", "wheel")).toEqual([
      ...rest.slice(0, 3),
      "pip==23.0",
      "setuptools==65.0",
      "wheel==0.4",
      "Zeta==1",
    ]);
  });

  test("is bounded", () => {
    expect(packageList(["a\nb\0", "  ", 7, "\ud800"])).toEqual(["a\ufffdb\ufffd", "7", "\ufffd"]);
    expect(packageList(Array.from({ length: 6_000 }, () => "x"))).toHaveLength(5_000);
    expect(packageList(Array.from({ length: 5_000 }, () => "x".repeat(5_000)))).toHaveLength(1_000);
  });

  uvTest("is the same whichever installer there is", async () => {
    await using yard = await scriptYard();
    await writeWheel(yard.folder, "first", "1.0", "");
    const wheels = await writeWheel(yard.folder, "second", "2.0", "");
    const source = writeSource(yard.folder);
    const given = offlineRequirements(wheels, "first==1.0 \\", "# c", "second", `evil @ file://${source}`);
    const byPip = await packagesOf(yard, given, false);
    const byUv = await packagesOf(yard, `${given}\n# another environment \\`, true);
    expect(byUv).toEqual(byPip);
  });
});

sandboxTest(
  "code of packages that is run while they are installed reaches no file of the agent",
  async () => {
    await using yard = await scriptYard();
    const victim = join(yard.folder, "victim");
    writeFileSync(victim, "nobody writes here\n");
    const source = writeSource(
      yard.folder,
      `
folder = os.environ["HOME"]
for path in [".complete", ".complete.new", folder + ".json", folder + ".json.new", folder + ".lock"]:
    try: os.symlink(${JSON.stringify(victim)}, os.path.join(folder, path))
    except OSError: pass
try: os.mkfifo(os.path.join(folder, "pipe"))
except OSError: pass
`,
    );
    // Also where the operator shows jobs a folder around the cache.
    await yard.agent({ usesUv: false, isolation: "required", isolateKinds: ["script"], bind: [yard.folder] });
    const requirements = `--no-index\nevil @ file://${source}`;
    const script = `
import os, evil, sys
print("answer", evil.ANSWER)
print("links", os.path.islink(os.path.join(sys.prefix, ".complete")))
print("beside", [os.path.exists(sys.prefix + ending) for ending in [".json", ".lock"]])
for ending in [".json", "/x", "/pyvenv.cfg"]:
    try:
        open(sys.prefix + ending, "w")
        print("WRITTEN", ending)
    except OSError as error:
        print("refused")
`;
    for (const _ of [1, 2]) {
      const job = await yard.run(script, { requirements });
      expect([job.error, job.state]).toEqual([null, "succeeded"]);
      const output = await yard.output(job);
      expect(output).toContain("answer 1\nlinks True\n");
      expect(output).toContain("beside [False, False]\nrefused\nrefused\nrefused\n");
    }
    expect(readFileSync(victim, "utf8")).toBe("nobody writes here\n");
    const environments = join(yard.folder, "cache", ENVIRONMENTS_FOLDER);
    const marker = readdirSync(environments).find((name) => name.endsWith(".json")) ?? "";
    expect(lstatSync(join(environments, marker)).isFile()).toBe(true);
  },
);
