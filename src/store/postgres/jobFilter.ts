/** Turns a filter on jobs into SQL: fixed pieces, values bound. */
import type { JobState } from "../../domain/job.ts";
import { dialectCode, kindCode, stateCode } from "../codes.ts";
import type { JobQuery } from "../store.ts";
import type { Parameter } from "./session.ts";

/** Where the first APIs' jobs are listed by project, the later ones' are by name. */
const FIRST_LISTED_BY_NAME = dialectCode.encode("executr");

export interface JobPlace {
  readonly order: "newest" | "oldest";
  readonly cursor: number | null;
  readonly limit: number;
}

/** Collects the values of one statement; each is named by its number. */
export class Values {
  readonly list: Parameter[] = [];

  add(value: Parameter): string {
    this.list.push(value);
    return `$${this.list.length}`;
  }
}

/**
 * Ids of the jobs that match, in order. Each state is one walk along the table that holds the jobs in it, in the order
 * of the ids; what several find is merged. Jobs under way are few, and are sorted.
 */
export function selectIds(query: JobQuery, values: Values, place: JobPlace): string {
  const states = query.states === undefined ? [null] : [...new Set(query.states)];
  if (states.length === 0) return "SELECT NULL::bigint AS id WHERE false";
  const order = `ORDER BY id ${place.order === "newest" ? "DESC" : "ASC"} LIMIT ${values.add(place.limit)}`;
  const cursor =
    place.cursor === null
      ? "true"
      : `line.id ${place.order === "newest" ? "<" : ">"} ${values.add(place.cursor)}::bigint`;
  return states
    .map((state) => `(SELECT line.id FROM ${source(query, state, values)} AND ${cursor} ${order})`)
    .join(" UNION ALL ");
}

/** How many jobs match. */
export function countIds(query: JobQuery, values: Values): string {
  const states = query.states === undefined ? [null] : [...new Set(query.states)];
  const counts = states.map((state) => `(SELECT count(*) FROM ${source(query, state, values)})`);
  return counts.length === 0 ? "SELECT 0::bigint AS n" : `SELECT ${counts.join(" + ")} AS n`;
}

/** What follows FROM, with all conditions; ids are `line.id`. */
function source(query: JobQuery, state: JobState | null, values: Values): string {
  const conditions: string[] = [];
  let needsDetails = false;
  let needsJobs = false;
  // The line of ready jobs knows the shapes itself, and goes by them.
  const shapeId = state === "ready" ? "line.shape_id" : "jobs.shape_id";
  const ofShape = (condition: string) => {
    if (state !== "ready") needsJobs = true;
    conditions.push(condition);
  };
  const ofDetails = (condition: string) => {
    needsDetails = true;
    conditions.push(condition);
  };
  if (query.projectId !== undefined) ofDetails(`job_details.project_id = ${values.add(query.projectId)}`);
  if (query.dialect !== undefined) {
    ofDetails(`job_details.dialect = ${values.add(dialectCode.encode(query.dialect))}`);
    // The words of the index of names itself: it holds these jobs only.
    if (dialectCode.encode(query.dialect) >= FIRST_LISTED_BY_NAME)
      ofDetails(`job_details.dialect >= ${FIRST_LISTED_BY_NAME}`);
  }
  if (query.name !== undefined) ofDetails(`job_details.name = ${values.add(query.name)}::text`);
  if (query.queue !== undefined) {
    ofShape(`${shapeId} IN (SELECT id FROM shapes WHERE queue = ${values.add(query.queue)}::text)`);
  }
  if (query.kind !== undefined) {
    ofShape(`${shapeId} IN (SELECT id FROM shapes WHERE kind = ${values.add(kindCode.encode(query.kind))})`);
  }
  if (query.label !== undefined) {
    const { key, value } = query.label;
    ofDetails(
      // PostgreSQL reads no NUL out of JSON: labels that hold one are not looked into.
      `CASE WHEN strpos(job_details.labels, ${values.add("\\u0000")}::text) > 0 THEN false
        ELSE job_details.labels::json ->> ${values.add(key)}::text = ${values.add(value)}::text END`,
    );
  }
  if (query.text !== undefined) {
    if (state !== "ready") needsJobs = true;
    const pattern = values.add(`%${query.text.replace(/[\\%_]/g, "\\$&")}%`);
    ofDetails(
      `(job_details.name ILIKE ${pattern}::text OR job_details.key ILIKE ${pattern}::text
        OR ${shapeId} IN (SELECT id FROM shapes WHERE queue ILIKE ${pattern}::text))`,
    );
  }
  const where = conditions.length === 0 ? "true" : conditions.join(" AND ");
  const joins = [
    needsDetails && state !== null ? "JOIN job_details ON job_details.id = line.id" : "",
    needsJobs ? "JOIN jobs ON jobs.id = line.id" : "",
  ];
  // Without a state the details themselves are the line, under both names: the planner sees that they are one.
  const details = state === null && needsDetails ? "JOIN job_details ON job_details.id = line.id" : "";
  return `${lineSql(state)} ${joins.join(" ")} ${details} WHERE ${where}`;
}

function lineSql(state: JobState | null): string {
  if (state === null) return "job_details AS line";
  const code = stateCode.encode(state);
  switch (state) {
    case "ready":
      return "ready AS line";
    case "waiting":
    case "blocked":
      return `(SELECT id FROM pending WHERE state = ${code}) AS line`;
    case "leased":
    case "running":
      return `(SELECT leases.job_id AS id FROM leases JOIN jobs AS held ON held.id = leases.job_id WHERE held.state = ${code}) AS line`;
    default:
      return `(SELECT id FROM ended WHERE state = ${code}) AS line`;
  }
}
