import { expect, test } from "bun:test";
import { MIGRATIONS as POSTGRES_MIGRATIONS } from "../../src/store/postgres/migrations.ts";
import { MIGRATIONS as SQLITE_MIGRATIONS } from "../../src/store/sqlite/migrations.ts";

/** Two steps of one number, or one out of order, would be left out where the other has been made. */
test.each([
  ["SQLite", SQLITE_MIGRATIONS],
  ["PostgreSQL", POSTGRES_MIGRATIONS],
])("the steps of the schema on %s are numbered one by one", (_, migrations) => {
  expect(migrations.map(({ version }) => version)).toEqual(migrations.map((_, index) => index + 1));
});
