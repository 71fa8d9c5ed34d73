/** The front-end example of the ShelbyCompute document, word for word, as a page runs it: `fetch` takes paths. */
export const FRONT_END_EXAMPLE = `
// Dashboard data
const dashboardData = await fetch('/api/frontend/dashboard').then(r => r.json());

// Create new job
const newJob = await fetch('/api/jobs/create', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({
    datasetName: 'My Dataset',
    datasetUrl: 'https://example.com/data'
  })
});

// Upload training script
const script = \`
import torch
print("Hello from custom training script!")
\`;

await fetch('/api/jobs/upload-script', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({
    jobId: 'job-123',
    script: script,
    requirements: 'torch>=1.9.0'
  })
});

// Get job logs
const logs = await fetch('/api/frontend/logs/job-123').then(r => r.json());
`;
