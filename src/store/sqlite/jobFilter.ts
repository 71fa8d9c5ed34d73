/** Turns a filter on jobs into SQL: fixed pieces, values bound. */
import { JOB_STATES } from "../../domain/job.ts";
import { dialectCode, kindCode, stateCode } from "../codes.ts";
import type { JobQuery } from "../store.ts";

export interface JobFilterSql {
  /** What to read from: a table, with an index to walk where the planner would choose worse. */
  readonly from: string;
  readonly where: string;
  readonly values: readonly (string | number)[];
}

/**
 * One filter for each state where several are asked for: each is one walk along an index in the order of the ids,
 * and what they find is merged. One filter on all of them would sort everything that matches.
 */
export function jobFilters(query: JobQuery): readonly JobFilterSql[] {
  // The index by name goes by state too.
  const states = query.states ?? (isListedByName(query) && query.name !== undefined ? JOB_STATES : undefined);
  if (states === undefined || states.length === 0) return [jobFilter(query)];
  return [...new Set(states)].map((state) => jobFilter({ ...query, states: [state] }));
}

function jobFilter(query: JobQuery): JobFilterSql {
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
  if (query.name !== undefined) add("name = ?", query.name);
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
    from: `jobs ${index(query, add)}`,
    where: conditions.length === 0 ? "true" : conditions.join(" AND "),
    values,
  };
}

/** Where the first APIs' jobs are listed by project, the later ones' are by name and state. */
const FIRST_LISTED_BY_NAME = dialectCode.encode("executr");

function isListedByName({ dialect }: JobQuery): boolean {
  return dialect !== undefined && dialectCode.encode(dialect) >= FIRST_LISTED_BY_NAME;
}

function index(query: JobQuery, add: (condition: string) => void): string {
  if (query.projectId !== undefined) return "";
  if (isListedByName(query) && (query.name !== undefined || query.states !== undefined)) {
    // The words of the index itself: it holds these jobs only.
    add(`dialect >= ${FIRST_LISTED_BY_NAME}`);
    return query.name === undefined ? "INDEXED BY jobs_dialect_state" : "INDEXED BY jobs_name";
  }
  return query.states === undefined ? "" : "INDEXED BY jobs_state";
}
