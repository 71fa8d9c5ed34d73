/** A WhatsNext server in memory that speaks the documented shapes; a test may answer in its place. */

export interface SeenCall {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly body: unknown;
}

export interface FakeJob {
  id: number;
  name: string;
  project_id: number;
  task_id: number;
  parameters: Record<string, unknown>;
  status: string;
  priority: number;
  depends: Record<string, string>;
  created_at: string;
  updated_at: string;
}

const TIME = "2024-01-15T10:30:00.123456+00:00";

export class FakeServer implements AsyncDisposable {
  readonly seen: SeenCall[] = [];
  readonly jobs = new Map<number, FakeJob>();
  readonly tasks: { id: number; name: string; required_cpu: number; required_accelerators: number }[] = [];
  readonly project = {
    id: 1,
    name: "my-project",
    description: "first",
    status: "ACTIVE",
    created_at: TIME,
    updated_at: TIME,
  };
  /** Statuses set by PUT, as "id STATUS", in order. */
  readonly reports: string[] = [];
  /** Answers in the server's place, before anything changes; null lets the server answer. */
  answer: (call: SeenCall) => Response | null | Promise<Response | null> = () => null;
  #nextId = 1;
  #server = this.#listen(0);

  get port(): number {
    return this.#server.port ?? 0;
  }

  get count(): (text: string) => number {
    return (text) => this.seen.filter((call) => `${call.method} ${call.path}`.startsWith(text)).length;
  }

  task(name: string, required_cpu = 0, required_accelerators = 0): number {
    const id = this.#nextId++;
    this.tasks.push({ id, name, required_cpu, required_accelerators });
    return id;
  }

  job(change: Partial<FakeJob> = {}): FakeJob {
    const id = this.#nextId++;
    const times = { created_at: TIME, updated_at: TIME };
    const task_id = this.tasks[0]?.id ?? 0;
    const job = {
      id,
      name: `job-${id}`,
      project_id: 1,
      task_id,
      parameters: {},
      status: "PENDING",
      priority: 0,
    };
    this.jobs.set(id, { ...job, depends: {}, ...times, ...change });
    return this.jobs.get(id) ?? { ...job, depends: {}, ...times };
  }

  /** Goes away: nobody listens on its port until `comeBack`. */
  async goAway(): Promise<number> {
    const port = this.port;
    await this.#server.stop(true);
    return port;
  }

  comeBack(port: number): void {
    this.#server = this.#listen(port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  #listen(port: number) {
    return Bun.serve({ port, hostname: "127.0.0.1", fetch: (request) => this.#receive(request) });
  }

  async #receive(request: Request): Promise<Response> {
    const { pathname: path, searchParams: query } = new URL(request.url);
    const text = await request.text();
    const body: unknown = text === "" ? null : JSON.parse(text);
    const call = { method: request.method, path, query, headers: request.headers, body };
    this.seen.push(call);
    return (await this.answer(call)) ?? this.#serve(call, Object(body));
  }

  #serve({ method, path, query }: SeenCall, body: Record<string, unknown>): Response {
    const id = Number(/\/(\d+)$/.exec(path)?.[1] ?? Number.NaN);
    switch (`${method} ${path.replaceAll(/\/\d+(?=\/|$)/g, "/N")}`) {
      case "GET /projects/name/my-project":
      case "GET /projects/N":
        return Response.json(this.project);
      case "PUT /projects/N":
        return Response.json({ data: Object.assign(this.project, body) });
      case "GET /projects/":
        return Response.json([this.project]);
      case "GET /tasks/":
        return Response.json(this.tasks);
      case "GET /tasks/N":
        return found(this.tasks.find((task) => task.id === id));
      case "POST /tasks/":
        return Response.json({ id: this.task(String(body.name)), ...body }, { status: 201 });
      case "POST /jobs/":
        if (!this.tasks.some((task) => task.id === body.task_id)) {
          return detail(400, `Task with id=${body.task_id} not found.`);
        }
        return Response.json(this.job(body), { status: 201 });
      case "POST /projects/N/jobs/batch": {
        const list: unknown = body.jobs;
        const ids = (Array.isArray(list) ? list : []).map((job) => this.job(job).id);
        return Response.json({ created: ids.length, job_ids: ids }, { status: 201 });
      }
      case "GET /projects/N/fetch_job":
        return this.#fetch(query);
      case "GET /jobs/":
        return Response.json([...this.jobs.values()]);
      case "GET /jobs/N":
        return found(this.jobs.get(id));
      case "PUT /jobs/N": {
        const job = this.jobs.get(id);
        if (job === undefined) return detail(404, `Job with id ${id} not found.`);
        Object.assign(job, body);
        this.reports.push(`${id} ${job.status}`);
        return Response.json({ data: job });
      }
      case "DELETE /projects/N/jobs/N":
        return this.jobs.delete(id) ? new Response(null, { status: 204 }) : detail(404, "no such job");
      case "DELETE /projects/N/queue":
        return Response.json({ deleted: this.#clear() });
      case "POST /clients/register":
        return Response.json({ ...body, is_active: 1 }, { status: 201 });
    }
    if (/^\/clients\/[\w-]+\/heartbeat$/.test(path)) return Response.json({ status: "ok" });
    if (/^\/clients\/[\w-]+\/deactivate$/.test(path)) {
      for (const job of this.jobs.values()) if (job.status === "QUEUED") job.status = "PENDING";
      return Response.json({ status: "deactivated" });
    }
    const taskName = /^\/tasks\/name\/(.+)$/.exec(path)?.[1];
    if (taskName !== undefined)
      return found(this.tasks.find(({ name }) => name === decodeURIComponent(taskName)));
    return detail(404, `nothing at ${method} ${path}`);
  }

  #fetch(query: URLSearchParams): Response {
    const fits = (need: number, free: string | null) => !Number(free) || need <= Number(free);
    const ready = [...this.jobs.values()]
      .filter(({ status }) => status === "PENDING")
      .filter((job) =>
        Object.keys(job.depends).every((id) => this.jobs.get(Number(id))?.status === "COMPLETED"),
      )
      .filter((job) => {
        const task = this.tasks.find(({ id }) => id === job.task_id);
        return (
          fits(task?.required_cpu ?? 0, query.get("available_cpu")) &&
          fits(task?.required_accelerators ?? 0, query.get("available_accelerators"))
        );
      })
      .sort((a, b) => b.priority - a.priority || a.id - b.id);
    const job = ready[0];
    if (job === undefined) return Response.json({ job: null, num_pending: 0 });
    job.status = "QUEUED";
    const task_name = this.tasks.find(({ id }) => id === job.task_id)?.name ?? "";
    return Response.json({ job: { ...job, task_name }, num_pending: ready.length });
  }

  #clear(): number {
    const pending = [...this.jobs.values()].filter(({ status }) => status === "PENDING");
    for (const { id } of pending) this.jobs.delete(id);
    return pending.length;
  }
}

/** An error as the API words it. */
export function detail(status: number, text: unknown, headers: HeadersInit = {}): Response {
  return Response.json({ detail: text }, { status, headers });
}

function found(thing: object | undefined): Response {
  return thing === undefined ? detail(404, "Task with name 'X' not found.") : Response.json(thing);
}
