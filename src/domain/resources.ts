/** What a job needs and what a worker has, and whether the one fits in the other. */

/** Amounts are whole numbers; `memoryMb` is MiB. A worker's zero is "none", a job's zero is "needs none". */
export interface Resources {
  readonly cpu: number;
  readonly accelerators: number;
  readonly memoryMb: number;
}

/** What a command asks for unless it says otherwise: one CPU slot. */
export const DEFAULT_RESOURCES: Resources = { cpu: 1, accelerators: 0, memoryMb: 0 };

/** Says whether `need` fits in `free`: no amount may exceed what is there. */
export function fits(need: Resources, free: Resources): boolean {
  return need.cpu <= free.cpu && need.accelerators <= free.accelerators && need.memoryMb <= free.memoryMb;
}

/** What is left of `free` after a job that needs `need` took its share. */
export function subtract(free: Resources, need: Resources): Resources {
  return {
    cpu: free.cpu - need.cpu,
    accelerators: free.accelerators - need.accelerators,
    memoryMb: free.memoryMb - need.memoryMb,
  };
}

/** What is free again after a job that needed `need` ended. */
export function add(free: Resources, need: Resources): Resources {
  return {
    cpu: free.cpu + need.cpu,
    accelerators: free.accelerators + need.accelerators,
    memoryMb: free.memoryMb + need.memoryMb,
  };
}
