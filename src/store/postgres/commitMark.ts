/**
 * Tells for certain whether a commit was made whose connection was lost. The transaction's number alone does not: after
 * a crash the database gives numbers again whose transactions never came to the disk, so that an undone commit may seem
 * to be made once another transaction has its number. Each transaction that changes something therefore also writes its
 * mark, and a commit was made when its mark is there.
 */
import postgres from "postgres";
import type { Session } from "./session.ts";

/** One transaction of one connection. */
export interface CommitMark {
  readonly session: string;
  /** Counts the transactions of that connection. */
  readonly number: number;
  /** The transaction's number, as `pg_xact_status` takes it. */
  readonly transactionId: string;
}

const SET_MARK = `
  INSERT INTO commit_marks (session, number, made_at) VALUES ($1, $2, now())
  ON CONFLICT (session) DO UPDATE SET number = excluded.number, made_at = excluded.made_at
  RETURNING pg_current_xact_id()::text AS id`;

/** Removes the marks of connections that are long gone; one that only stood still gets its row again. */
export const FORGET_MARKS = "DELETE FROM commit_marks WHERE made_at < now() - interval '1 day'";

/** No transaction has this number yet, so the one that once had it is undone. */
const IS_IN_FUTURE = "22023";

/**
 * Writes the mark of the transaction that the session is in.
 * @param keep is given the statement itself, whose fault comes before those of the ones after it
 */
export function setMark(session: Session, keep: (result: Promise<unknown>) => void): Promise<CommitMark> {
  const number = session.nextNumber();
  const answer = session.query<{ id: string }>(SET_MARK, [session.id, number]);
  keep(answer);
  const mark = answer.then((rows) => ({ session: session.id, number, transactionId: rows[0]?.id ?? "" }));
  mark.catch(() => {});
  return mark;
}

/** What became of a commit; null while that cannot be told. To be asked over another connection. */
export async function outcomeOf(
  { session: id, number, transactionId }: CommitMark,
  session: Session,
): Promise<"committed" | "aborted" | null> {
  // A standby may be behind.
  const [place] = await session.query<{ is_standby: boolean }>("SELECT pg_is_in_recovery() AS is_standby");
  if (place?.is_standby !== false) return null;
  const status = await statusOf(transactionId, session);
  if (status !== "committed") return status;
  const [mark] = await session.query<{ number: number }>(
    "SELECT number FROM commit_marks WHERE session = $1",
    [id],
  );
  return mark?.number === number ? "committed" : "aborted";
}

async function statusOf(transactionId: string, session: Session): Promise<"committed" | "aborted" | null> {
  try {
    const [row] = await session.query<{ status: string | null }>(
      "SELECT pg_xact_status($1::xid8) AS status",
      [transactionId],
    );
    // The connection's own process may still be at it.
    return row?.status === "committed" || row?.status === "aborted" ? row.status : null;
  } catch (error) {
    if (error instanceof postgres.PostgresError && error.code === IS_IN_FUTURE) return "aborted";
    throw error;
  }
}
