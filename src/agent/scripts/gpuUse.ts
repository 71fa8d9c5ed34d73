/** The machine's NVIDIA GPUs and what jobs use of them, as `nvidia-smi` tells it. */

/** The GPUs at one moment. */
export interface GpuFigures {
  /** By index, as accelerators are counted. */
  readonly gpus: ReadonlyMap<
    number,
    { readonly percent: number | null; readonly memoryBytes: number | null }
  >;
  /** Memory that processes hold, over all GPUs. */
  readonly memoryBytesByPid: ReadonlyMap<number, number>;
}

/** What one job uses of them. */
export interface GpuUse {
  /** Mean of the GPUs that it was given; null where it was given none or they do not tell. */
  readonly percent: number | null;
  readonly memoryBytes: number;
}

const TIMEOUT_MS = 5_000;
const MIB = 1024 * 1024;

/** Path of `nvidia-smi`; null on machines without NVIDIA's driver. */
export function findNvidiaSmi(): string | null {
  return Bun.which("nvidia-smi");
}

/** Asks for all GPUs and the processes on them; null when it does not answer as it should. */
export async function machineGpus(nvidiaSmi: string): Promise<GpuFigures | null> {
  const [gpus, apps] = await Promise.all([
    query(nvidiaSmi, "--query-gpu=index,utilization.gpu,memory.used"),
    query(nvidiaSmi, "--query-compute-apps=pid,used_gpu_memory"),
  ]);
  if (gpus === null) return null;
  return gpuFigures(gpus, apps ?? "");
}

/** A GPU of the machine. */
export interface NamedGpu {
  readonly name: string;
  readonly memoryMb: number | null;
}

/** GPUs told of one machine. */
const MAX_GPUS = 1_024;
const MAX_NAME_CHARACTERS = 200;

/** The GPUs in the order of their indexes; none where it does not answer as it should. */
export async function namedGpus(nvidiaSmi: string): Promise<NamedGpu[]> {
  const table = await query(nvidiaSmi, "--query-gpu=memory.total,name");
  return table === null ? [] : gpuNames(table);
}

/** Reads a table of `memory, name` a line. */
export function gpuNames(table: string): NamedGpu[] {
  return table
    .split("\n")
    .flatMap((line) => {
      const [, memory = "", name = ""] = /^([^,]*),(.*)$/.exec(line) ?? [];
      const memoryMb = Number(memory.trim());
      if (name.trim() === "") return [];
      const isKnown = memory.trim() !== "" && Number.isSafeInteger(memoryMb) && memoryMb >= 0;
      const shown = name.replaceAll("\0", " ").trim().slice(0, MAX_NAME_CHARACTERS).toWellFormed();
      return [{ name: shown, memoryMb: isKnown ? memoryMb : null }];
    })
    .slice(0, MAX_GPUS);
}

/** Reads the two tables, each `a, b, c` a line; what a GPU does not tell stands as `[N/A]`. */
export function gpuFigures(gpuTable: string, appTable: string): GpuFigures {
  const gpus = new Map<number, { percent: number | null; memoryBytes: number | null }>();
  for (const [index, percent, usedMib] of rows(gpuTable)) {
    if (index === undefined || index === null) continue;
    gpus.set(index, { percent: percent ?? null, memoryBytes: bytesOf(usedMib) });
  }
  const memoryBytesByPid = new Map<number, number>();
  for (const [pid, usedMib] of rows(appTable)) {
    if (pid === undefined || pid === null) continue;
    memoryBytesByPid.set(pid, (memoryBytesByPid.get(pid) ?? 0) + (bytesOf(usedMib) ?? 0));
  }
  return { gpus, memoryBytesByPid };
}

/**
 * What a job with these processes and GPUs uses; null when it uses and has none. In containers the driver often names
 * processes by numbers of another namespace: then the memory of the job's GPUs is that of the job, since no other has them.
 */
export function gpuUseOf(
  figures: GpuFigures,
  pids: readonly number[],
  accelerators: readonly number[],
): GpuUse | null {
  const own = accelerators.flatMap((index) => figures.gpus.get(index) ?? []);
  const known = pids.flatMap((pid) => figures.memoryBytesByPid.get(pid) ?? []);
  if (own.length === 0 && known.length === 0) return null;
  const percents = own.flatMap(({ percent }) => percent ?? []);
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  return {
    percent: percents.length === 0 ? null : Math.round((sum(percents) / percents.length) * 100) / 100,
    memoryBytes: known.length > 0 ? sum(known) : sum(own.flatMap(({ memoryBytes }) => memoryBytes ?? [])),
  };
}

async function query(nvidiaSmi: string, what: string): Promise<string | null> {
  try {
    const child = Bun.spawn([nvidiaSmi, what, "--format=csv,noheader,nounits"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      timeout: TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    const text = await new Response(child.stdout).text();
    return (await child.exited) === 0 ? text : null;
  } catch {
    return null;
  }
}

function rows(table: string): (number | null)[][] {
  return table
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) =>
      line.split(",").map((cell) => {
        const text = cell.trim();
        const value = Number(text);
        return text === "" || !Number.isFinite(value) ? null : value;
      }),
    );
}

function bytesOf(mib: number | null | undefined): number | null {
  return mib === null || mib === undefined ? null : mib * MIB;
}
