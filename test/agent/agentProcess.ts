/** The program of an agent in a process of its own: options as JSON, SIGTERM drains. */
import { startAgent } from "../../src/agent/agent.ts";

const agent = await startAgent(JSON.parse(process.argv[2] ?? "{}"));
process.once("SIGTERM", () => void agent.drain());
await agent.finished;
process.exit(0);
