/** The file in which a job's keeper says how the job ended. It has no name: it goes with its last descriptor. */
import { closeSync, fstatSync, openSync, readSync, unlinkSync } from "node:fs";
import { join } from "node:path";

/** The keeper writes three short lines; what a job may have added is not read. */
const MAX_READ_BYTES = 4_096;

export class StatusFile {
  readonly fd: number;

  /** @param folder where files may be made; the name is used for a moment only */
  constructor(folder: string) {
    const path = join(folder, `status-${crypto.randomUUID()}`);
    this.fd = openSync(path, "ax+", 0o600);
    unlinkSync(path);
  }

  /** What was written so far, its end when it is much. */
  read(): string {
    const { size } = fstatSync(this.fd);
    const bytes = new Uint8Array(Math.min(size, MAX_READ_BYTES));
    const length = readSync(this.fd, bytes, 0, bytes.length, size - bytes.length);
    return new TextDecoder().decode(bytes.subarray(0, length));
  }

  close(): void {
    closeSync(this.fd);
  }
}
