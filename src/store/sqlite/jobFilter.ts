/** Turns a filter on jobs into SQL: fixed pieces, values bound. */
import type { JobQuery } from "../store.ts";
import { dialectCode, kindCode, stateCode } from "./codes.ts";

export interface JobFilterSql {
  /** An index to walk, where the planner would choose worse. */
  readonly index: string;
  readonly where: string;
  readonly values: readonly (string | number)[];
}

export function jobFilter(query: JobQuery): JobFilterSql {
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  const add = (condition: string, ...bound: (string | number)[]) => {
    conditions.push(condition);
    values.push(...bound);
  };
  if (query.states !== undefined) {
    add(`state IN (${query.states.map(() => "?").join(", ")})`, ...query.states.map(stateCode.encode));
  }
  if (query.projectId !== undefined) add("project_id = ?", query.projectId);
  if (query.dialect !== undefined) add("dialect = ?", dialectCode.encode(query.dialect));
  if (query.queue !== undefined) add("shape_id IN (SELECT id FROM shapes WHERE queue = ?)", query.queue);
  if (query.kind !== undefined) {
    add("shape_id IN (SELECT id FROM shapes WHERE kind = ?)", kindCode.encode(query.kind));
  }
  if (query.label !== undefined) {
    add("labels IS NOT NULL AND labels ->> ? = ?", `$.${JSON.stringify(query.label.key)}`, query.label.value);
  }
  if (query.text !== undefined) {
    const pattern = `%${query.text.replace(/[\\%_]/g, "\\$&")}%`;
    add(
      `(name LIKE ? ESCAPE '\\' OR key LIKE ? ESCAPE '\\'
        OR shape_id IN (SELECT id FROM shapes WHERE queue LIKE ? ESCAPE '\\'))`,
      pattern,
      pattern,
      pattern,
    );
  }
  return {
    index: query.states?.length === 1 && query.projectId === undefined ? "INDEXED BY jobs_state" : "",
    where: conditions.length === 0 ? "true" : conditions.join(" AND "),
    values,
  };
}
