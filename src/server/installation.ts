/** The name of an installation, kept in its store: servers of one database have the same, and it moves with the data. */
import type { Engine } from "../engine/engine.ts";

const COLLECTION = "yardmaster.installation";
const KEY = "id";

/** The name; made where there is none yet. */
export async function installationOf(engine: Pick<Engine, "read" | "putDocuments">): Promise<string> {
  const known = await stored(engine);
  if (known !== null) return known;
  await engine.putDocuments([{ collection: COLLECTION, key: KEY, value: { id: crypto.randomUUID() } }]);
  // Another server may have made one at the same moment: the later one counts, for both.
  const made = await stored(engine);
  if (made === null) throw new Error("the store has not kept the name of the installation");
  return made;
}

async function stored({ read }: Pick<Engine, "read">): Promise<string | null> {
  const id = (await read.document(COLLECTION, KEY))?.id;
  return typeof id === "string" ? id : null;
}
