/** Projects and their tasks. Who names one holds it until the commit, so that it is not deleted in between. */
import type { Project, Task } from "../../domain/project.ts";
import { type ProjectRow, type TaskRow, toProject, toTask } from "../rows.ts";
import type { Statements } from "./statements.ts";
import { numbers } from "./text.ts";

export class ProjectTable {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  async insert(project: Omit<Project, "id">): Promise<Project> {
    const [row] = await this.#statements.lock<ProjectRow>(
      `INSERT INTO projects (name, description, status, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $5) RETURNING *`,
      [project.name, project.description, project.status, project.createdAt, project.updatedAt],
    );
    if (row === undefined) throw new Error("a project could not be inserted");
    return toProject(row);
  }

  update(project: Project): void {
    this.#statements.write(
      "UPDATE projects SET name = $2, description = $3, status = $4, updated_at = $5 WHERE id = $1",
      [project.id, project.name, project.description, project.status, project.updatedAt],
    );
  }

  delete(id: number): void {
    this.#statements.write("DELETE FROM projects WHERE id = $1", [id]);
  }

  async find(by: { readonly id: number } | { readonly name: string }): Promise<Project | null> {
    const [row] =
      "id" in by
        ? await this.#statements.lock<ProjectRow>("SELECT * FROM projects WHERE id = $1 FOR KEY SHARE", [
            by.id,
          ])
        : await this.#statements.lock<ProjectRow>("SELECT * FROM projects WHERE name = $1 FOR KEY SHARE", [
            by.name,
          ]);
    return row === undefined ? null : toProject(row);
  }

  async insertTask(task: Omit<Task, "id">): Promise<Task> {
    const { cpu, accelerators, memoryMb } = task.resources;
    const [row] = await this.#statements.lock<TaskRow>(
      `INSERT INTO tasks (project_id, name, command_template, cpu, accelerators, memory_mb, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *`,
      [
        task.projectId,
        task.name,
        task.commandTemplate,
        cpu,
        accelerators,
        memoryMb,
        task.createdAt,
        task.updatedAt,
      ],
    );
    if (row === undefined) throw new Error("a task could not be inserted");
    return toTask(row);
  }

  updateTask(task: Task): void {
    const { cpu, accelerators, memoryMb } = task.resources;
    this.#statements.write(
      `UPDATE tasks SET name = $2, command_template = $3, cpu = $4, accelerators = $5, memory_mb = $6, updated_at = $7
       WHERE id = $1`,
      [task.id, task.name, task.commandTemplate, cpu, accelerators, memoryMb, task.updatedAt],
    );
  }

  deleteTask(id: number): void {
    this.#statements.write("DELETE FROM tasks WHERE id = $1", [id]);
  }

  async findTasks(ids: readonly number[]): Promise<Task[]> {
    if (ids.length === 0) return [];
    const rows = await this.#statements.lock<TaskRow>(
      "SELECT * FROM tasks WHERE id = ANY($1::bigint[]) ORDER BY id FOR KEY SHARE",
      [numbers(ids)],
    );
    const byId = new Map(rows.map((row) => [row.id, toTask(row)]));
    return ids.flatMap((id) => byId.get(id) ?? []);
  }

  async tasksOfProject(projectId: number): Promise<Task[]> {
    const rows = await this.#statements.read<TaskRow>(
      "SELECT * FROM tasks WHERE coalesce(project_id, 0) = $1 ORDER BY id",
      [projectId],
    );
    return rows.map(toTask);
  }
}
