/** What WhatsNext keeps of a client beyond what every worker has. */
import type { Worker } from "../../domain/worker.ts";

export interface ClientDetails {
  readonly entity: string;
  readonly description: string;
  /**
   * Shown, and no limit to what the client may fetch: each fetch says what is free, and not saying it means
   * any job.
   */
  readonly availableCpu: number;
  readonly availableAccelerators: number;
}

export function clientDetails({ details }: Pick<Worker, "details">): ClientDetails {
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  const amount = (value: unknown) => (typeof value === "number" ? value : 0);
  return {
    entity: text(details.entity),
    description: text(details.description),
    availableCpu: amount(details.availableCpu),
    availableAccelerators: amount(details.availableAccelerators),
  };
}
