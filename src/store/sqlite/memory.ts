/**
 * What the SQLite store keeps in memory because it is the only writer of its file: who holds which lease,
 * and how many jobs of each shape are ready.
 *
 * Leases need no disk: after a restart every lease is granted anew for one full period, so the stored
 * time would never be read. Keeping them here makes a heartbeat cost no write.
 *
 * Each change inside a transaction is noted and undone when the transaction fails.
 */
import type { Lease } from "../store.ts";

export class StoreMemory {
  readonly #leases = new Map<number, Lease>();
  readonly #heldBy = new Map<string, Set<number>>();
  readonly #readyCounts = new Map<number, number>();
  #undo: (() => void)[] = [];

  lease(jobId: number): Lease | undefined {
    return this.#leases.get(jobId);
  }

  leases(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  get leaseCount(): number {
    return this.#leases.size;
  }

  heldBy(workerId: string, limit: number): { count: number; jobIds: number[] } {
    const held = this.#heldBy.get(workerId);
    if (held === undefined) return { count: 0, jobIds: [] };
    return { count: held.size, jobIds: [...held.values().take(limit)].sort((a, b) => a - b) };
  }

  putLease(lease: Lease): void {
    const before = this.#leases.get(lease.jobId);
    this.#setLease(lease.jobId, lease);
    this.#undo.push(() => this.#setLease(lease.jobId, before));
  }

  dropLease(jobId: number): void {
    const before = this.#leases.get(jobId);
    if (before === undefined) return;
    this.#setLease(jobId, undefined);
    this.#undo.push(() => this.#setLease(jobId, before));
  }

  /** No lease ends before `until`. */
  grace(until: number): void {
    for (const lease of [...this.#leases.values()]) {
      const deadlineAt = lease.deadlineAt === null ? null : Math.max(lease.deadlineAt, until);
      this.putLease({ ...lease, expiresAt: Math.max(lease.expiresAt, until), deadlineAt });
    }
  }

  #setLease(jobId: number, lease: Lease | undefined): void {
    const before = this.#leases.get(jobId);
    if (before !== undefined && before.workerId !== lease?.workerId) {
      const held = this.#heldBy.get(before.workerId);
      held?.delete(jobId);
      if (held?.size === 0) this.#heldBy.delete(before.workerId);
    }
    if (lease === undefined) {
      this.#leases.delete(jobId);
      return;
    }
    this.#leases.set(jobId, lease);
    let held = this.#heldBy.get(lease.workerId);
    if (held === undefined) {
      held = new Set();
      this.#heldBy.set(lease.workerId, held);
    }
    held.add(jobId);
  }

  readyShapeIds(): IterableIterator<number> {
    return this.#readyCounts.keys();
  }

  countReady(shapeId: number, change: number): void {
    this.#changeReady(shapeId, change);
    this.#undo.push(() => this.#changeReady(shapeId, -change));
  }

  #changeReady(shapeId: number, change: number): void {
    const count = (this.#readyCounts.get(shapeId) ?? 0) + change;
    if (count === 0) this.#readyCounts.delete(shapeId);
    else this.#readyCounts.set(shapeId, count);
  }

  /** The transaction's changes stand. */
  commit(): void {
    this.#undo = [];
  }

  /** Takes the transaction's changes back, last first. */
  rollback(): void {
    const undo = this.#undo;
    this.#undo = [];
    for (const step of undo.reverse()) step();
  }
}
