/** A script in a file of its own, readable by its owner alone, for as long as somebody reads it. */
import { hostModule } from "./process.ts";

interface FileModule {
  readonly promises: {
    mkdtemp(prefix: string): Promise<string>;
    writeFile(path: string, text: string, options: { mode: number }): Promise<void>;
    rm(path: string, options: { recursive: boolean; force: boolean }): Promise<void>;
  };
}

/** Calls `use` with the path of a new file that holds `text`, under the system's folder for temporary ones. */
export async function withScript<T>(text: string, use: (path: string) => Promise<T>): Promise<T> {
  const { promises: files }: FileModule = await hostModule("fs");
  const { tmpdir }: { tmpdir(): string } = await hostModule("os");
  const { join }: { join(...parts: string[]): string } = await hostModule("path");
  const folder = await files.mkdtemp(join(tmpdir(), "whatsnext-"));
  try {
    const path = join(folder, "job.sh");
    await files.writeFile(path, text, { mode: 0o700 });
    return await use(path);
  } finally {
    await files.rm(folder, { recursive: true, force: true });
  }
}
