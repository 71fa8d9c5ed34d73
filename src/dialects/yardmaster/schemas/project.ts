/** The schemas of projects and of tasks, the command templates in them. */
import { z } from "zod";
import { PROJECT_STATUSES } from "../../../domain/project.ts";
import { entityId, text, time } from "./fields.ts";

const amount = z.int().min(0).max(1_000_000);
const amountMb = z.int().min(0).max(1_000_000_000);
const name = text(200, 1);
const description = text(10_000).nullable();
const commandTemplate = text(100_000, 1).nullable().meta({
  description:
    "A command line with `{placeholders}`; null where workers bring their own way to run the task.",
  example: "python train.py --lr {lr}",
});
const limit = z.int().min(1).max(1_000).default(100);
const offset = z.int().min(0).default(0);

/** `{id}` in a path. */
export const idPath = z.strictObject({ id: entityId });

export const project = z
  .object({
    id: z.int(),
    name: z.string(),
    description: z.string().nullable(),
    status: z.enum(PROJECT_STATUSES),
    createdAt: time,
    updatedAt: time,
  })
  .meta({ id: "Project" });
export const projectList = z.object({ items: z.array(project) });
export const newProject = z
  .strictObject({ name, description: description.default(null) })
  .meta({ id: "NewProject" });
export const projectChange = z
  .strictObject({
    name: name.optional(),
    description: description.optional(),
    status: z.enum(PROJECT_STATUSES).optional(),
  })
  .meta({ id: "ProjectChange" });
export const projectQuery = z.strictObject({
  status: z.enum(PROJECT_STATUSES).optional(),
  name: name.optional(),
  limit,
  offset,
});

export const task = z
  .object({
    id: z.int(),
    name: z.string(),
    projectId: z.int().nullable(),
    commandTemplate: z.string().nullable(),
    requiredCpu: z.int(),
    requiredAccelerators: z.int(),
    requiredMemoryMb: z.int(),
    createdAt: time,
    updatedAt: time,
  })
  .meta({ id: "Task" });
export const taskList = z.object({ items: z.array(task) });
export const newTask = z
  .strictObject({
    name,
    projectId: entityId.nullable().default(null),
    commandTemplate: commandTemplate.default(null),
    requiredCpu: amount.optional(),
    requiredAccelerators: amount.optional(),
    requiredMemoryMb: amountMb.optional(),
  })
  .meta({ id: "NewTask" });
export const taskChange = z
  .strictObject({
    name: name.optional(),
    commandTemplate: commandTemplate.optional(),
    requiredCpu: amount.optional(),
    requiredAccelerators: amount.optional(),
    requiredMemoryMb: amountMb.optional(),
  })
  .meta({ id: "TaskChange" });
export const taskQuery = z.strictObject({
  projectId: entityId.optional(),
  name: name.optional(),
  limit,
  offset,
});
