/**
 * A real training over the ShelbyCompute API: scikit-learn, a dataset served over HTTP, the log followed over a
 * WebSocket, and the model verified at the end. Needs a package index; packages are fetched once into the machine's cache.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ShelbyClient } from "@yardmaster/client/shelby";
import { Scratch } from "../cli/yardmasterProcess.ts";

/** Installing scikit-learn for the first time downloads about 100 MB. */
const TIMEOUT_MS = 600_000;

/** 300 points in three clouds, the same each time. */
function clouds(): string {
  const rows = ["x,y,label"];
  let seed = 42;
  const random = (): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed / 2_147_483_648;
  };
  for (let at = 0; at < 300; at++) {
    const label = at % 3;
    rows.push(`${(label * 3 + random()).toFixed(4)},${(label * 2 + random()).toFixed(4)},${label}`);
  }
  return `${rows.join("\n")}\n`;
}

const SCRIPT = `
import csv, os, joblib, sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

with open(os.environ["DATASET_PATH"]) as file:
    rows = list(csv.DictReader(file))
points = [[float(row["x"]), float(row["y"])] for row in rows]
labels = [int(row["label"]) for row in rows]
train_x, test_x, train_y, test_y = train_test_split(points, labels, random_state=0)
for epochs in (5, 50, 500):
    model = LogisticRegression(max_iter=epochs).fit(train_x, train_y)
    print(f"iterations {epochs}: accuracy {model.score(test_x, test_y):.3f}")
joblib.dump(model, os.path.join(os.environ["OUTPUT_DIR"], "model.bin"))
print("scikit-learn", sklearn.__version__)
`;

const scratch = new Scratch();
const dataset = clouds();
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(dataset) });
let url = "";

beforeAll(async () => {
  ({ url } = await scratch.start(["up", "--data", "data"]));
});
afterAll(async () => {
  await scratch.dispose();
  await server.stop(true);
});

test(
  "a classifier is trained, stored and verified",
  async () => {
    const client = new ShelbyClient({ baseUrl: url });
    const datasetHash = new Bun.CryptoHasher("sha256").update(dataset).digest("hex");
    const { jobId } = await client.createJob({
      ...{ datasetName: "Clouds", datasetUrl: `http://127.0.0.1:${server.port}/clouds.csv`, datasetHash },
    });
    await client.uploadScript({ jobId, script: SCRIPT, requirements: "scikit-learn==1.7.2\n" });
    const lines: string[] = [];
    for await (const { line } of client.followLog(jobId)) lines.push(line);
    const log = lines.join("\n");
    const job = await client.wait(jobId, { timeoutMs: TIMEOUT_MS });
    expect([job.status, job.metadata?.error]).toEqual(["finished", undefined]);
    expect(log).toContain("iterations 500: accuracy 1.000");
    expect(log).toContain("scikit-learn 1.7.2");
    const record = job.provenance[0]?.record;
    expect(JSON.stringify(record?.software)).toContain("scikit-learn==1.7.2");
    expect(record?.inputs).toMatchObject({ dataset: { sha256: datasetHash, verified: true } });

    const verified = await scratch.run(["verify", jobId, "--server", url]);
    expect([verified.exitCode, verified.stderr]).toEqual([0, ""]);
    expect(verified.stdout).toContain("the server's file is the one recorded");
    const metrics = await client.jobMetrics(jobId);
    expect(metrics.cpuUsage.length).toBe(metrics.timestamps.length);
  },
  TIMEOUT_MS,
);
