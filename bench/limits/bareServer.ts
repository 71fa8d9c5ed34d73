/** The limit of any HTTP server here: Bun's own, which reads the body and gives a ready answer of the size asked for. */
const bytes = Number(process.argv[2] ?? 600);
const answer = JSON.stringify({ filler: "x".repeat(Math.max(0, bytes - 13)) });
const headers = { "Content-Type": "application/json" };

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    await request.text();
    return new Response(answer, { status: 201, headers });
  },
});
console.log(JSON.stringify({ addresses: [`http://127.0.0.1:${server.port}`] }));
