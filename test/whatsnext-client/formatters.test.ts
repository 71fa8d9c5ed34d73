import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CLIFormatter,
  FormatError,
  type JsonObject,
  RUNAIFormatter,
  SlurmFormatter,
} from "@yardmaster/client/whatsnext";

const cli = new CLIFormatter({ executable: "prog", output: "ignore" });
const options = (parameters: JsonObject) => cli.format("task", parameters).slice(1);

describe("CLIFormatter", () => {
  test("is python with a script unless told otherwise", () => {
    const formatter = new CLIFormatter({ script: "process.py" });
    expect(formatter.format("t", { input: "a b", n: 1 })).toEqual([
      "python",
      "process.py",
      "--input",
      "a b",
      "--n",
      "1",
    ]);
    expect(new CLIFormatter().format("t", {})).toEqual(["python"]);
  });

  test.each<[JsonObject, string[]]>([
    [{ on: true, off: false, nothing: null }, ["--on"]],
    [{ lr: 1e-7, x: -0.5 }, ["--lr", "1e-7", "--x", "-0.5"]],
    [{ x: "-0.5", y: "--evil" }, ["--x", "-0.5", "--y=--evil"]],
    [{ text: "" }, ["--text", ""]],
    [{ list: [1, "b"], none: [] }, ["--list", "1", "b"]],
    [{ nested: { a: [1] }, deep: [[1], 2] }, ["--nested", '{"a":[1]}', "--deep", "[[1],2]"]],
    [
      { "learning-rate": 1, größe: 2, "model.size": 3 },
      ["--learning-rate", "1", "--größe", "2", "--model.size", "3"],
    ],
    [{ q: "$(rm) 'x' \"y\"\n;" }, ["--q", "$(rm) 'x' \"y\"\n;"]],
  ])("%j becomes options", (parameters, expected) => expect(options(parameters)).toEqual(expected));

  test.each<[JsonObject, string]>([
    [{ "": 1 }, 'parameter "" cannot be an option'],
    [{ "a b": 1 }, 'parameter "a b"'],
    [{ "-x": 1 }, 'parameter "-x"'],
    [{ "a=b": 1 }, 'parameter "a=b"'],
    [{ list: ["a", "--output=/x"] }, "would be read as an option"],
    [{ text: "a\0b" }, "NUL"],
    [{ list: ["a\0b"] }, "NUL"],
  ])("%j is refused", (parameters, message) => {
    expect(() => options(parameters)).toThrow(FormatError);
    expect(() => options(parameters)).toThrow(message);
  });
});

describe("SlurmFormatter", () => {
  test("passes every option on", () => {
    const formatter = new SlurmFormatter({
      partition: "gpu",
      time: "01:00:00",
      nodes: 2,
      ntasks: 4,
      cpusPerTask: 8,
      mem: "16G",
      gpus: "a100:2",
      executable: "python",
      script: "train.py",
      extraOptions: ["--account=team"],
    });
    expect(formatter.format("train", { name: "it's" })).toEqual([
      "sbatch",
      "--job-name=train",
      "--partition=gpu",
      "--time=01:00:00",
      "--nodes=2",
      "--ntasks=4",
      "--cpus-per-task=8",
      "--mem=16G",
      "--gpus=a100:2",
      "--wait",
      "--account=team",
      "--wrap",
      `python train.py --name 'it'\\''s'`,
    ]);
  });

  test("runs the task as a program when there is neither template nor executable", () => {
    expect(new SlurmFormatter({ wait: false }).format("sim", { n: 1 })).toEqual([
      "sbatch",
      "--job-name=sim",
      "--wrap",
      "sim --n 1",
    ]);
  });

  test("fills a template with quoted words and leaves the shell's braces alone", () => {
    const scriptTemplate = "x=$\u007bHOME} f() { echo {text} {task} {list}; }; awk '{{print}}' {n}";
    const argv = new SlurmFormatter({ scriptTemplate }).format("t", {
      text: "a; rm 'x'",
      list: [1, 2],
      n: 3,
    });
    expect(argv.at(-1)).toBe("x=$\u007bHOME} f() { echo 'a; rm '\\''x'\\''' t '[1,2]'; }; awk '{print}' 3");
    expect(() => new SlurmFormatter({ scriptTemplate: "echo {lr}" }).format("t", { rate: 1 })).toThrow(
      "the script has a place {lr}, but the job has only task, rate",
    );
  });

  test("gives a complete script to sbatch as a file, and removes it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "yardmaster-slurm-"));
    try {
      const sbatch = `#!/bin/sh\nfor last; do :; done\necho "$last" > ${folder}/path\ncat "$last" > ${folder}/script\nexit 7\n`;
      writeFileSync(join(folder, "sbatch"), sbatch, { mode: 0o755 });
      const formatter = new SlurmFormatter({ scriptTemplate: "#!/bin/bash\n#SBATCH -x\necho {n}\n" });
      const [, ...args] = formatter.format("t", { n: 5 });
      expect(await formatter.execute([join(folder, "sbatch"), ...args])).toBe(7);
      expect(readFileSync(join(folder, "script"), "utf8")).toBe("#!/bin/bash\n#SBATCH -x\necho 5\n");
      const path = readFileSync(join(folder, "path"), "utf8").trim();
      expect(await Bun.file(path).exists()).toBe(false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("RUNAIFormatter", () => {
  test("passes every option on", () => {
    const formatter = new RUNAIFormatter({
      project: "team",
      image: "registry/train:1",
      gpu: 0.5,
      cpu: "500m",
      memory: "8G",
      workingDir: "/work",
      environment: { MODE: "fast run", N: 3 },
      executable: "python",
      script: "train.py",
    });
    expect(formatter.format("Train Model", { lr: 0.1 })).toEqual([
      ...["runai", "submit", "--job-name-prefix", "train-model", "--project", "team"],
      ...["--image", "registry/train:1", "--gpu", "0.5", "--cpu", "500m", "--memory", "8G"],
      ...["--working-dir", "/work", "--environment", "MODE=fast run", "--environment", "N=3"],
      ...["--command", "--", "python", "train.py", "--lr", "0.1"],
    ]);
  });

  test("gives the parameters to the image's own program, and nothing when there are none", () => {
    const formatter = new RUNAIFormatter({ image: "i" });
    expect(formatter.format("t", { lr: 1 }).slice(-3)).toEqual(["--", "--lr", "1"]);
    expect(formatter.format("9", {})).toEqual([
      "runai",
      "submit",
      "--job-name-prefix",
      "job-9",
      "--image",
      "i",
    ]);
    expect(() => formatter.format("日本", {})).toThrow(FormatError);
    expect(() => new RUNAIFormatter({ image: "" })).toThrow("image");
    expect(() => new RUNAIFormatter({ image: "i", script: "a.py" })).toThrow("script needs executable");
  });
});

describe("execute", () => {
  const sh = (script: string) => ["sh", "-c", script];

  test("resolves to the exit code, 128 + n for a signal", async () => {
    expect(await cli.execute(sh("exit 3"))).toBe(3);
    expect(await cli.execute(sh("kill -9 $$"))).toBe(137);
  });

  test("hands over arguments, folder and environment exactly", async () => {
    const folder = mkdtempSync(join(tmpdir(), "yardmaster-cli-formatter-"));
    try {
      const formatter = new CLIFormatter({ workingDir: folder, environment: { MODE: "x y" } });
      const argv = ["sh", "-c", 'printf "%s|%s|%s" "$MODE" "$1" "$2" > out', "sh", "a  'b'", "$(id)\n"];
      expect(await formatter.execute(argv)).toBe(0);
      expect(readFileSync(join(folder, "out"), "utf8")).toBe("x y|a  'b'|$(id)\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("says what cannot be started", async () => {
    await expect(cli.execute(["/no/such/program"])).rejects.toThrow(
      'cannot start "/no/such/program": there is no such program',
    );
    await expect(cli.execute([])).rejects.toThrow("the command is empty");
    await expect(new CLIFormatter({ workingDir: "/no/such" }).execute(["true"])).rejects.toThrow(
      'the working directory "/no/such" is no directory',
    );
  });

  test("ends a command that runs too long, with what it started, and one that ignores SIGTERM", async () => {
    const folder = mkdtempSync(join(tmpdir(), "yardmaster-limit-"));
    try {
      const formatter = new CLIFormatter({ timeoutMs: 300, killGraceMs: 100, workingDir: folder });
      const script = "trap '' TERM; sleep 1000 & echo $! > child; while :; do sleep 0.05; done";
      await expect(formatter.execute(sh(script))).rejects.toThrow("ran longer than 300 ms");
      const child = Number(readFileSync(join(folder, "child"), "utf8"));
      const isAlive = () => !/^State:\s+Z/m.test(statusOf(child)) && statusOf(child) !== "";
      const deadline = Date.now() + 5_000;
      while (isAlive() && Date.now() < deadline) await Bun.sleep(10);
      expect(isAlive()).toBe(false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("ends a command when it is aborted", async () => {
    const controller = new AbortController();
    const running = cli.execute(sh("sleep 1000"), { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
  });
});

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}
