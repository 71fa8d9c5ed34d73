/** What a process wrote until its end, and how it ended. */
export async function outputOf(
  child: Bun.Subprocess<"ignore", "pipe", "pipe">,
): Promise<{ readonly stdout: string; readonly stderr: string; readonly exitCode: number }> {
  // Both at once: a process that fills one pipe waits.
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { stdout, stderr, exitCode: await child.exited };
}
