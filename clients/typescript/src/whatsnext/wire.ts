/** The shapes of the WhatsNext REST API, field by field as it documents them. */
import type { JsonObject } from "../types.ts";

export type ProjectStatus = "ACTIVE" | "ARCHIVED";
export type JobStatus = "PENDING" | "QUEUED" | "RUNNING" | "COMPLETED" | "FAILED" | "BLOCKED";

export interface ProjectWire {
  id: number;
  name: string;
  description: string | null;
  status: ProjectStatus;
  created_at: string;
  updated_at: string;
}

export interface TaskWire {
  id: number;
  name: string;
  project_id: number;
  command_template: string | null;
  required_cpu: number | null;
  required_accelerators: number | null;
  created_at: string;
  updated_at: string;
}

export interface NewJobWire {
  name: string;
  project_id?: number;
  task_id: number;
  parameters: JsonObject;
  priority: number;
  depends: Record<string, string>;
}

export interface JobWire {
  id: number;
  name: string;
  project_id: number;
  task_id: number;
  /** Only in the answer of `fetch_job`. */
  task_name?: string;
  parameters: JsonObject;
  status: JobStatus;
  priority: number;
  depends: Record<string, string> | null;
  created_at: string;
  updated_at: string;
}

export interface FetchedJobWire {
  job: JobWire | null;
  num_pending: number;
}

export interface DependenciesWire {
  job_id: number;
  dependencies: { id: number; name: string; status: JobStatus }[];
  all_completed: boolean;
  has_failed?: boolean;
}

export interface NewClientWire {
  id: string;
  name: string;
  entity: string;
  description: string;
  available_cpu: number;
  available_accelerators: number;
}

export interface ClientWire {
  id: string;
  name: string;
  entity: string;
  description: string | null;
  available_cpu: number;
  available_accelerators: number;
  last_heartbeat: string;
  created_at: string;
  is_active: number;
}

/** Answer of every PUT. */
export interface ChangedWire<T> {
  data: T;
}
