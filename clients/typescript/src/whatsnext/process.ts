/**
 * Runs one command, in Bun and in Node. The modules of the host are loaded when the first command runs, by a name
 * that bundlers leave alone, so that the rest of this library works in browsers.
 */

export interface ProcessOptions {
  workingDir?: string | undefined;
  environment?: Readonly<Record<string, string>> | undefined;
  timeoutMs?: number | undefined;
  killGraceMs?: number | undefined;
  output?: "inherit" | "ignore" | undefined;
  signal?: AbortSignal | undefined;
}

/** The part of `node:child_process` used here. */
interface ChildProcess {
  readonly pid?: number | undefined;
  once(event: "error", listener: (error: Error & { code?: string }) => void): void;
  once(event: "exit", listener: (code: number | null, signal: string | null) => void): void;
  kill(signal: string): boolean;
}
interface ChildProcessModule {
  spawn(program: string, args: readonly string[], options: object): ChildProcess;
}
interface OsModule {
  readonly constants: { readonly signals: Readonly<Record<string, number>> };
}
interface FileModule {
  statSync(path: string, options: { throwIfNoEntry: false }): { isDirectory(): boolean } | undefined;
}

/** The part of the global `process` used here. */
export interface HostProcess {
  readonly platform: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  kill(pid: number, signal: string): unknown;
  on(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

/** The process that this program runs in; null in browsers. */
export function hostProcess(): HostProcess | null {
  const found: HostProcess | undefined = Reflect.get(globalThis, "process");
  return typeof found?.kill === "function" ? found : null;
}

const DEFAULT_KILL_GRACE_MS = 5_000;
/** Longest time that a timer can hold: 2^31 - 1 ms, about 24 days. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * Runs `argv` to its end, without a shell and without input. The command leads a process group of its own, so that
 * Ctrl-C at the worker does not reach it, and ending it ends all that it started.
 *
 * @returns the exit code; 128 + the signal's number when a signal ended the command
 * @throws {Error} when the command cannot be started or ran longer than `timeoutMs`; the signal's reason on abort
 */
export async function runProcess(argv: readonly string[], options: ProcessOptions): Promise<number> {
  const host = hostProcess();
  if (host === null) throw new Error("commands run in Bun and Node only, not in a browser");
  const [program, ...args] = argv;
  if (program === undefined || program === "") throw new Error("the command is empty: it needs a program");
  const { spawn }: ChildProcessModule = await hostModule("child_process");
  const { constants }: OsModule = await hostModule("os");
  const { statSync }: FileModule = await hostModule("fs");
  const { workingDir, signal } = options;
  signal?.throwIfAborted();
  if (workingDir !== undefined && !statSync(workingDir, { throwIfNoEntry: false })?.isDirectory()) {
    throw new Error(`cannot start "${program}": the working directory "${workingDir}" is no directory`);
  }
  const output = options.output ?? "inherit";
  const hasGroup = host.platform !== "win32";
  const child = spawn(program, args, {
    cwd: workingDir,
    env: { ...host.env, ...options.environment },
    stdio: ["ignore", output, output],
    detached: hasGroup,
  });
  const kill = (name: string): void => {
    try {
      if (hasGroup && child.pid !== undefined) host.kill(-child.pid, name);
      else child.kill(name);
    } catch {
      // Nothing of it is left.
    }
  };
  return new Promise<number>((resolve, reject) => {
    let reason: unknown = null;
    let graceTimer: ReturnType<typeof setTimeout> | null = null;
    const end = (why: unknown): void => {
      if (reason !== null) return;
      reason = why;
      kill("SIGTERM");
      graceTimer = setTimeout(() => kill("SIGKILL"), options.killGraceMs ?? DEFAULT_KILL_GRACE_MS);
    };
    const onAbort = () => end(signal?.reason ?? new Error("aborted"));
    const killAtExit = () => kill("SIGKILL");
    const limitMs = options.timeoutMs;
    const limitTimer =
      limitMs === undefined
        ? null
        : setTimeout(
            () => end(new Error(`"${program}" ran longer than ${limitMs} ms and was ended`)),
            Math.min(limitMs, MAX_TIMER_MS),
          );
    const settle = (): void => {
      if (graceTimer !== null) clearTimeout(graceTimer);
      if (limitTimer !== null) clearTimeout(limitTimer);
      signal?.removeEventListener("abort", onAbort);
      endedWithHost.delete(host, killAtExit);
    };
    endedWithHost.add(host, killAtExit);
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    child.once("error", (error) => {
      settle();
      reject(new Error(`cannot start "${program}": ${startFault(error)}`, { cause: error }));
    });
    child.once("exit", (code, signalName) => {
      settle();
      if (reason === null) return resolve(code ?? 128 + (constants.signals[signalName ?? ""] ?? 0));
      // The leader is gone; what it left behind is not to outlive it.
      kill("SIGKILL");
      reject(reason);
    });
  });
}

/** What is to be ended when this program exits; one listener for all, since hosts warn of many. */
const endedWithHost = {
  kills: new Set<() => void>(),
  onExit(): void {
    for (const kill of endedWithHost.kills) kill();
  },
  add(host: HostProcess, kill: () => void): void {
    if (this.kills.size === 0) host.on("exit", this.onExit);
    this.kills.add(kill);
  },
  delete(host: HostProcess, kill: () => void): void {
    this.kills.delete(kill);
    if (this.kills.size === 0) host.off("exit", this.onExit);
  },
};

function startFault(error: Error & { code?: string }): string {
  if (error.code === "ENOENT") return "there is no such program";
  if (error.code === "EACCES") return "it may not be executed";
  if (error.code === "E2BIG") return "its arguments are longer than the system allows";
  return error.message;
}

/** Loads a module of the host; of all of them only this function knows how. */
export function hostModule<T>(name: "child_process" | "os" | "fs" | "path"): Promise<T> {
  const specifier = `node:${name}`;
  return import(/* @vite-ignore */ /* webpackIgnore: true */ specifier);
}
