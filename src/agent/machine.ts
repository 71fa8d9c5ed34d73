/** What the agent tells of its machine when it registers: processor, memory, system, and NVIDIA's GPUs. */
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import type { Machine } from "@yardmaster/client";
import { findNvidiaSmi, namedGpus } from "./scripts/gpuUse.ts";

const MIB = 1024 * 1024;
/** What the server takes of one text. */
const MAX_CHARACTERS = 500;
const OS_RELEASE = "/etc/os-release";

/** Looks at the machine. GPUs are left out where `nvidia-smi` does not tell of them. */
export async function thisMachine(nvidiaSmi = findNvidiaSmi(), osReleasePath = OS_RELEASE): Promise<Machine> {
  const processors = cpus();
  const processor = shown(processors[0]?.model ?? "");
  return {
    os: type(),
    platform: shown(platformName(osReleasePath)),
    processor: processor === "" ? null : processor,
    cores: processors.length,
    memoryMb: Math.floor(totalmem() / MIB),
    gpus: nvidiaSmi === null ? [] : await namedGpus(nvidiaSmi),
  };
}

/** As the server takes it, whatever the system says. */
function shown(text: string): string {
  return text.replaceAll("\0", " ").trim().slice(0, MAX_CHARACTERS).toWellFormed();
}

/** The distribution where the system names one, as in `Debian GNU/Linux 12 (bookworm)`; else the system's release. */
function platformName(osReleasePath: string): string {
  try {
    const name = /^PRETTY_NAME=(["']?)(.*)\1\s*$/m.exec(readFileSync(osReleasePath, "utf8"))?.[2]?.trim();
    if (name !== undefined && name !== "") return name;
  } catch {
    // Other systems than Linux have no such file.
  }
  return `${type()} ${release()}`;
}
