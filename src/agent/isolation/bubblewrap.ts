/**
 * The arguments of bubblewrap for one job: a pure function over what the machine has and what the job may see.
 *
 * The root is empty; the system's folders, the job's own and what was named are put into it. What is not named is
 * not there, so nothing has to be forbidden but secrets inside the folders that are.
 */

/** Entry of the root folder that belongs to the system. */
export interface SystemEntry {
  readonly path: string;
  /** Where it points to when it is a link, as on systems where `/bin` is `usr/bin`. */
  readonly link: string | null;
}

/** A path that must not be seen, though a folder around it is. */
export interface HiddenPath {
  readonly path: string;
  readonly isDirectory: boolean;
}

/** A device file, and where the job finds it. */
export interface Device {
  readonly source: string;
  readonly path: string;
}

export interface SandboxView {
  readonly system: readonly SystemEntry[];
  /** Named by the operator. */
  readonly readOnly: readonly string[];
  readonly writable: readonly string[];
  readonly hidden: readonly HiddenPath[];
  /** Device files to show besides, or in the place of, the harmless ones that every sandbox has. */
  readonly devices: readonly Device[];
  readonly hasNetwork: boolean;
  /** Bubblewrap can do it since 0.8. */
  readonly forbidsNamespaces: boolean;
}

export interface SandboxJob {
  readonly workspace: string;
  readonly cwd: string;
  /** Files of the job outside its workspace, shown read-only. */
  readonly reads: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** The last variable that is set: whoever finds it knows that no argument before it is missing. */
export const WHOLE_MARKER = "YARDMASTER_SANDBOX_IS_WHOLE";

/** Says whether `path` is `folder` or lies in it. */
export function liesIn(path: string, folder: string): boolean {
  return path === folder || folder === "/" || path.startsWith(`${folder}/`);
}

/** Options of bubblewrap, without its own name and without the job's command. */
export function bubblewrapArguments(view: SandboxView, job: SandboxJob): string[] {
  const isRoot = (path: string): boolean => path === "/";
  // A file of the job's inside of what is hidden is shown over the cover; any other lies below the covers.
  const isCovered = (path: string): boolean =>
    view.hidden.some((hidden) => hidden.isDirectory && liesIn(path, hidden.path));
  const bound = [
    ...[...view.readOnly, ...job.reads.filter((path) => !isCovered(path))].map((path) => ({
      flag: "--ro-bind",
      path,
    })),
    ...view.writable.map((path) => ({ flag: "--bind", path })),
  ].sort((a, b) => a.path.length - b.path.length);
  const binds = (wanted: (path: string) => boolean): string[] =>
    bound.filter(({ path }) => wanted(path)).flatMap(({ flag, path }) => [flag, path, path]);
  const visible = [...view.system.map(({ path }) => path), ...bound.map(({ path }) => path)];
  const hidden = view.hidden.filter(
    ({ path }) =>
      visible.some((folder) => liesIn(path, folder)) &&
      !view.hidden.some((other) => other.isDirectory && other.path !== path && liesIn(path, other.path)),
  );
  const hiddenFolders = hidden.filter(({ isDirectory }) => isDirectory).map(({ path }) => path);
  return [
    // Never "try": as root bubblewrap would go on without, and leave the job root's rights over the machine.
    ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...(view.hasNetwork ? [] : ["--unshare-net"]),
    // Out of the group of bubblewrap itself: SIGTERM must reach the job alone, for it would end bubblewrap at once.
    // In namespaces of its own a job could mount the control groups and lift its limits.
    ...(view.forbidsNamespaces ? ["--disable-userns"] : []),
    // However the agent ends, the kernel ends its sandboxes with it, and all that is in them.
    ...["--new-session", "--die-with-parent", "--cap-drop", "ALL"],
    ...view.system.flatMap(({ path, link }) =>
      link === null ? ["--ro-bind", path, path] : ["--symlink", link, path],
    ),
    // The whole machine, where that was asked for, lies under what follows.
    ...binds(isRoot),
    // The kernel's settings belong to root, also to a root without rights: writing `core_pattern` would be a way out.
    ...["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--tmpfs", "/tmp"],
    ...view.devices.flatMap(({ source, path }) => ["--dev-bind-try", source, path]),
    ...binds((path) => !isRoot(path)),
    ...hidden.flatMap(({ path, isDirectory }) =>
      isDirectory ? ["--tmpfs", path] : ["--ro-bind", "/dev/null", path],
    ),
    ...["--bind", job.workspace, job.workspace],
    ...job.reads.filter(isCovered).flatMap((path) => ["--ro-bind", path, path]),
    // Last: the places of the binds above are made in them.
    ...hiddenFolders.flatMap((path) => ["--remount-ro", path]),
    ...(bound.some(({ path }) => isRoot(path)) ? [] : ["--remount-ro", "/"]),
    ...["--chdir", job.cwd],
    ...Object.entries(job.env).flatMap(([name, value]) => ["--setenv", name, value]),
    ...["--setenv", WHOLE_MARKER, "yes"],
  ];
}
