/** Which blobs are named anywhere in the tables, a page at a time; the database looks, only the names travel. */
import { blobNamesOf, DIGITS } from "../blobNames.ts";
import type { MentionPage, MentionPart, MentionPlace } from "../store.ts";
import type { Parameter } from "./session.ts";

/** A page takes some ten milliseconds of the database. */
const ROWS_AT_ONCE = 1_000;
/** As stored, which may be compressed. */
const BYTES_AT_ONCE = 1_000_000;

interface Row {
  readonly place: MentionPlace | null;
  readonly found: string | null;
}

type Read = (statement: string, parameters: readonly Parameter[]) => Promise<readonly Row[]>;

const NUMBERED: Readonly<Record<Exclude<MentionPart, "documents">, string>> = {
  tasks:
    "SELECT id AS place, command_template AS text, NULL::text AS more, NULL::text AS words FROM tasks WHERE id > $1::bigint ORDER BY id",
  records:
    "SELECT seq AS place, data AS text, NULL::text AS more, NULL::text AS words FROM records WHERE seq > $1::bigint ORDER BY seq",
  jobs: `SELECT id AS place, spec AS text, result AS more, concat_ws(' ', name, key, labels) AS words
         FROM job_details LEFT JOIN job_results USING (id) WHERE id > $1::bigint ORDER BY id`,
};

const DOCUMENTS = `
  SELECT json_build_array(collection, key)::text AS place, value AS text, NULL::text AS more, NULL::text AS words
  FROM documents WHERE (collection, key) > ($1::text, $2::text) ORDER BY collection, key`;

/** See `StoreReads.mentions`. */
export async function mentions(
  read: Read,
  part: MentionPart,
  after: MentionPlace | null,
): Promise<MentionPage> {
  const isNumbered = part !== "documents";
  const [collection = "", key = ""]: string[] = isNumbered || after === null ? [] : JSON.parse(String(after));
  const [page] = await read(
    pageOf(isNumbered ? NUMBERED[part] : DOCUMENTS),
    isNumbered ? [Number(after ?? 0)] : [collection, key],
  );
  return { sha256s: page?.found?.split(",").flatMap(blobNamesOf) ?? [], place: page?.place ?? null };
}

/** Rows until there are enough, one at least; sizes are read without the texts. */
function pageOf(rows: string): string {
  return `
    WITH numbered AS (
      SELECT *, row_number() OVER () AS nth FROM (${rows} LIMIT ${ROWS_AT_ONCE}) AS rows
    ), page AS (
      SELECT * FROM (
        SELECT *, sum(coalesce(pg_column_size(text), 0) + coalesce(pg_column_size(more), 0))
          OVER (ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM numbered
      ) AS sized WHERE before IS NULL OR before < ${BYTES_AT_ONCE}
    )
    SELECT (SELECT place FROM page ORDER BY nth DESC LIMIT 1) AS place, (
      SELECT string_agg(DISTINCT match[1], ',') FROM page,
        LATERAL regexp_matches(concat_ws(' ', text, more, words), '${DIGITS}', 'g') AS match
    ) AS found`;
}
