import { describe, expect, test } from "bun:test";
import { bubblewrapArguments, type SandboxView } from "../../../src/agent/isolation/bubblewrap.ts";

const VIEW: SandboxView = {
  system: [
    { path: "/usr", link: null },
    { path: "/bin", link: "usr/bin" },
    { path: "/etc", link: null },
  ],
  readOnly: [],
  writable: [],
  hidden: [],
  devices: [],
  hasNetwork: false,
  forbidsNamespaces: true,
};
const JOB = { workspace: "/state/work/1", cwd: "/state/work/1", reads: [], env: {} };

/** Where an option with these values stands; -1 when it does not. */
function indexOf(argv: readonly string[], ...wanted: string[]): number {
  return argv.findIndex((_, at) => wanted.every((word, offset) => argv[at + offset] === word));
}

describe("the arguments of bubblewrap", () => {
  test("user, processes, messages and network are always apart, never where possible only", () => {
    const argv = bubblewrapArguments(VIEW, JOB);
    for (const flag of ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-net"]) {
      expect(argv).toContain(flag);
    }
    expect(argv).toContain("--die-with-parent");
    expect(argv).toContain("--new-session");
    expect(indexOf(argv, "--cap-drop", "ALL")).toBeGreaterThanOrEqual(0);
    expect(bubblewrapArguments({ ...VIEW, hasNetwork: true }, JOB)).not.toContain("--unshare-net");
  });

  test("the system is read-only, links stay links, only the workspace is writable", () => {
    const argv = bubblewrapArguments(VIEW, JOB);
    expect(indexOf(argv, "--ro-bind", "/usr", "/usr")).toBeGreaterThanOrEqual(0);
    expect(indexOf(argv, "--symlink", "usr/bin", "/bin")).toBeGreaterThanOrEqual(0);
    const writable = argv.flatMap((word, at) => (word === "--bind" ? [argv[at + 1]] : []));
    expect(writable).toEqual(["/state/work/1"]);
    expect(indexOf(argv, "--remount-ro", "/")).toBeGreaterThan(indexOf(argv, "--bind", "/state/work/1"));
  });

  test("what is hidden is covered where a folder around it is seen, and left alone where none is", () => {
    const hidden = [
      { path: "/etc/shadow", isDirectory: false },
      { path: "/data/keys", isDirectory: true },
      { path: "/data/keys/old", isDirectory: true },
      { path: "/elsewhere", isDirectory: true },
    ];
    const argv = bubblewrapArguments({ ...VIEW, readOnly: ["/data"], hidden }, JOB);
    expect(indexOf(argv, "--ro-bind", "/dev/null", "/etc/shadow")).toBeGreaterThan(
      indexOf(argv, "--ro-bind", "/etc", "/etc"),
    );
    const covered = indexOf(argv, "--tmpfs", "/data/keys");
    expect(covered).toBeGreaterThan(indexOf(argv, "--ro-bind", "/data", "/data"));
    expect(indexOf(argv, "--remount-ro", "/data/keys")).toBeGreaterThan(covered);
    expect(argv).not.toContain("/data/keys/old");
    expect(argv).not.toContain("/elsewhere");
  });

  test("a workspace inside a hidden folder comes after the cover, and before it is closed", () => {
    const hidden = [{ path: "/opt/agent", isDirectory: true }];
    const system = [...VIEW.system, { path: "/opt", link: null }];
    const workspace = "/opt/agent/work/1";
    const argv = bubblewrapArguments({ ...VIEW, system, hidden }, { ...JOB, workspace });
    const bind = indexOf(argv, "--bind", workspace);
    expect(bind).toBeGreaterThan(indexOf(argv, "--tmpfs", "/opt/agent"));
    expect(bind).toBeLessThan(indexOf(argv, "--remount-ro", "/opt/agent"));
  });

  test("what a job reads is shown, but no secret in it, unless it is the very file inside of what is hidden", () => {
    const hidden = [{ path: "/lib/python/agent", isDirectory: true }];
    const reads = ["/lib/python", "/lib/python/agent/cache/abc"];
    const argv = bubblewrapArguments({ ...VIEW, hidden }, { ...JOB, reads });
    const order = [
      indexOf(argv, "--ro-bind", "/lib/python", "/lib/python"),
      indexOf(argv, "--tmpfs", "/lib/python/agent"),
      indexOf(argv, "--ro-bind", "/lib/python/agent/cache/abc"),
      indexOf(argv, "--remount-ro", "/lib/python/agent"),
    ];
    expect(order.every((at) => at >= 0)).toBe(true);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  test("a path that is bound lies over the folder around it, and over /tmp", () => {
    const argv = bubblewrapArguments(
      { ...VIEW, readOnly: ["/tmp/data/in", "/"], writable: ["/tmp/data"] },
      JOB,
    );
    const order = [
      indexOf(argv, "--ro-bind", "/", "/"),
      indexOf(argv, "--proc", "/proc"),
      indexOf(argv, "--tmpfs", "/tmp"),
      indexOf(argv, "--bind", "/tmp/data"),
      indexOf(argv, "--ro-bind", "/tmp/data/in"),
    ];
    expect(order.every((at) => at >= 0)).toBe(true);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  test("variables and files of the job are handed over, devices only when it has some", () => {
    const argv = bubblewrapArguments(
      { ...VIEW, devices: [{ source: "/dev/nvidia0", path: "/dev/nvidia0" }] },
      { ...JOB, reads: ["/cache/abc"], env: { LD_PRELOAD: "evil.so" } },
    );
    expect(indexOf(argv, "--ro-bind", "/cache/abc", "/cache/abc")).toBeGreaterThanOrEqual(0);
    expect(indexOf(argv, "--setenv", "LD_PRELOAD", "evil.so")).toBeGreaterThanOrEqual(0);
    expect(indexOf(argv, "--dev-bind-try", "/dev/nvidia0", "/dev/nvidia0")).toBeGreaterThanOrEqual(0);
    expect(bubblewrapArguments(VIEW, JOB)).not.toContain("--dev-bind-try");
  });
});
