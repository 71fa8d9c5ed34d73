/** The figures that existing dashboards read, by name and label. */
import { expect, test } from "bun:test";
import { aJob, GO, NOBODY, startExecutr } from "./executrServer.ts";

test("every figure of Executr has its name and labels", async () => {
  await using server = await startExecutr();
  const { api } = server;
  await api.complete(await api.running({ type: "encode", priority: "foreground" }));
  await api.fail(await api.running({ type: "encode" }, "worker-1"));
  await api.delete(`/jobs/${await api.submit()}`);
  await api.submit({ priority: "best_effort" });
  await api.get(`/jobs/${NOBODY}`);
  await api.get("/jobs/nonsense");
  await api.get("/nothing/here");
  await api.call("PATCH", "/jobs");
  await api.call("BREW", "/jobs");
  const { text } = await api.get("/metrics", GO);
  for (const line of [
    'executr_jobs_submitted_total{type="encode",priority="foreground"} 1',
    'executr_jobs_completed_total{type="encode",priority="foreground",executor="worker-1"} 1',
    'executr_jobs_failed_total{type="encode",priority="background",executor="worker-1"} 1',
    "executr_jobs_cancelled_total 1",
    'executr_jobs_in_queue{status="pending",priority="best_effort"} 1',
    'executr_jobs_in_queue{status="running",priority="foreground"} 0',
    "executr_executors_active 1",
    "executr_stale_jobs_recovered_total 0",
    "executr_job_duration_seconds_count 2",
    "executr_job_wait_time_seconds_count 2",
    'executr_api_requests_total{method="POST",endpoint="/api/v1/jobs",status="201"} 4',
    'executr_api_requests_total{method="GET",endpoint="/api/v1/jobs/{id}",status="404"} 1',
    'executr_api_requests_total{method="GET",endpoint="/api/v1/jobs/{id}",status="400"} 1',
    'executr_api_requests_total{method="GET",endpoint="unmatched",status="404"} 1',
    'executr_api_requests_total{method="PATCH",endpoint="unmatched",status="405"} 1',
    'executr_api_request_duration_seconds_count{method="PUT",endpoint="/api/v1/jobs/{id}/complete"} 1',
  ]) {
    expect(text.split("\n")).toContain(line);
  }
  expect(text).not.toContain(NOBODY);
  expect(text).not.toContain("nothing/here");
  expect(text).not.toContain("BREW");
});

test("the number of labels stays bounded, however many types there are", async () => {
  await using server = await startExecutr();
  const { api } = server;
  for (let n = 0; n < 10; n++) {
    await api.post(
      "/jobs/bulk",
      Array.from({ length: 100 }, (_, at) => aJob({ type: `type-${n}-${at}` })),
    );
  }
  const { text } = await api.get("/metrics");
  const lines = text.split("\n").filter((line) => line.startsWith("executr_jobs_submitted_total{"));
  expect(lines.length).toBeLessThan(300);
  expect(lines).toContainEqual(expect.stringContaining('type="other"'));
});
