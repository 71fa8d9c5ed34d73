/** Projects and their tasks. */
import type { Database, Statement } from "bun:sqlite";
import type { Project, Task } from "../../domain/project.ts";
import { type ProjectRow, type TaskRow, toProject, toTask } from "../rows.ts";

type Bind = string | number | null;

export class ProjectTable {
  readonly #insert: Statement<ProjectRow, Bind[]>;
  readonly #update: Statement<unknown, Bind[]>;
  readonly #delete: Statement<unknown, [number]>;
  readonly #byId: Statement<ProjectRow, [number]>;
  readonly #byName: Statement<ProjectRow, [string]>;
  readonly #insertTask: Statement<TaskRow, Bind[]>;
  readonly #updateTask: Statement<unknown, Bind[]>;
  readonly #deleteTask: Statement<unknown, [number]>;
  readonly #taskById: Statement<TaskRow, [number]>;
  readonly #tasksOfProject: Statement<TaskRow, [number]>;

  constructor(db: Database) {
    this.#insert = db.prepare(`
      INSERT INTO projects (name, description, status, created_at, updated_at)
      VALUES (?, ?, ?, ?, ?) RETURNING *`);
    this.#update = db.prepare(
      "UPDATE projects SET name = ?, description = ?, status = ?, updated_at = ? WHERE id = ?",
    );
    this.#delete = db.prepare("DELETE FROM projects WHERE id = ?");
    this.#byId = db.prepare("SELECT * FROM projects WHERE id = ?");
    this.#byName = db.prepare("SELECT * FROM projects WHERE name = ?");
    this.#insertTask = db.prepare(`
      INSERT INTO tasks (project_id, name, command_template, cpu, accelerators, memory_mb, created_at, updated_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *`);
    this.#updateTask = db.prepare(`
      UPDATE tasks SET name = ?, command_template = ?, cpu = ?, accelerators = ?, memory_mb = ?, updated_at = ?
      WHERE id = ?`);
    this.#deleteTask = db.prepare("DELETE FROM tasks WHERE id = ?");
    this.#taskById = db.prepare("SELECT * FROM tasks WHERE id = ?");
    this.#tasksOfProject = db.prepare("SELECT * FROM tasks WHERE ifnull(project_id, 0) = ? ORDER BY id");
  }

  insert(project: Omit<Project, "id">): Project {
    const row = this.#insert.get(
      project.name,
      project.description,
      project.status,
      project.createdAt,
      project.updatedAt,
    );
    if (row === null) throw new Error("a project could not be inserted");
    return toProject(row);
  }

  update(project: Project): void {
    this.#update.run(project.name, project.description, project.status, project.updatedAt, project.id);
  }

  delete(id: number): void {
    this.#delete.run(id);
  }

  find(by: { readonly id: number } | { readonly name: string }): Project | null {
    const row = "id" in by ? this.#byId.get(by.id) : this.#byName.get(by.name);
    return row === null ? null : toProject(row);
  }

  insertTask(task: Omit<Task, "id">): Task {
    const { cpu, accelerators, memoryMb } = task.resources;
    const row = this.#insertTask.get(
      task.projectId,
      task.name,
      task.commandTemplate,
      cpu,
      accelerators,
      memoryMb,
      task.createdAt,
      task.updatedAt,
    );
    if (row === null) throw new Error("a task could not be inserted");
    return toTask(row);
  }

  updateTask(task: Task): void {
    const { cpu, accelerators, memoryMb } = task.resources;
    this.#updateTask.run(
      task.name,
      task.commandTemplate,
      cpu,
      accelerators,
      memoryMb,
      task.updatedAt,
      task.id,
    );
  }

  deleteTask(id: number): void {
    this.#deleteTask.run(id);
  }

  findTasks(ids: readonly number[]): Task[] {
    return ids.flatMap((id) => {
      const row = this.#taskById.get(id);
      return row === null ? [] : [toTask(row)];
    });
  }

  tasksOfProject(projectId: number): Task[] {
    return this.#tasksOfProject.all(projectId).map(toTask);
  }
}
