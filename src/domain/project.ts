/** Projects group tasks and jobs; a task is a command template with resource needs. */
import type { Resources } from "./resources.ts";

export const PROJECT_STATUSES = ["ACTIVE", "ARCHIVED"] as const;
export type ProjectStatus = (typeof PROJECT_STATUSES)[number];

export interface Project {
  readonly id: number;
  readonly name: string;
  readonly description: string | null;
  readonly status: ProjectStatus;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface Task {
  readonly id: number;
  readonly projectId: number | null;
  readonly name: string;
  /** A command line with `{placeholders}`; null where workers bring their own way to run the task. */
  readonly commandTemplate: string | null;
  readonly resources: Resources;
  readonly createdAt: number;
  readonly updatedAt: number;
}
