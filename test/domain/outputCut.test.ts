import { describe, expect, test } from "bun:test";
import { cutOutput, maxOutputBytes, OutputCutter, storableText } from "../../src/domain/outputCut.ts";

const marker = /^\[output cut: (\d+) bytes, (\d+) lines in all; what stood here is left out\]$/;

function bytesOf(text: string): number {
  return Buffer.byteLength(text);
}

function throughCutter(bytes: Uint8Array, pieceBytes: number): { text: string; isCut: boolean } {
  const cutter = new OutputCutter();
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    cutter.append(bytes.subarray(at, at + pieceBytes));
  }
  return { text: cutter.text(), isCut: cutter.isCut };
}

function markerLine(text: string): { at: number; bytes: number; lines: number } {
  const rows = text.split("\n");
  const at = rows.findIndex((row) => marker.test(row));
  const found = marker.exec(rows[at] ?? "");
  return { at, bytes: Number(found?.[1]), lines: Number(found?.[2]) };
}

describe("an output that fits", () => {
  test.each([
    ["empty", ""],
    ["short", "one\ntwo"],
    ["exactly 1 MiB", "x".repeat(maxOutputBytes)],
    ["1 MiB of é", "é".repeat(maxOutputBytes / 2)],
  ])("stays as it is: %s", (_name, text) => {
    expect(cutOutput(text) === text).toBe(true);
    const streamed = throughCutter(Buffer.from(text), 70_001);
    expect(streamed.isCut).toBe(false);
    expect(streamed.text === text).toBe(true);
  });

  test("keeps a byte order mark", () => {
    expect(throughCutter(Buffer.from("\uFEFFa"), 1).text).toBe("\uFEFFa");
  });
});

describe("an output of many lines", () => {
  const lines = Array.from({ length: 100_000 }, (_, at) => `line number ${at}`);
  const text = `${lines.join("\n")}\n`;
  const cut = cutOutput(text);

  test("keeps 500 first lines, the marker, and as many last lines as fit", () => {
    const rows = cut.split("\n");
    expect(rows.slice(0, 500)).toEqual(lines.slice(0, 500));
    expect(markerLine(cut)).toEqual({ at: 500, bytes: bytesOf(text), lines: 100_000 });
    const last = rows.slice(501, -1);
    expect(last).toEqual(lines.slice(-last.length));
    expect(bytesOf(cut)).toBeLessThanOrEqual(maxOutputBytes);
    const nextBefore = lines[lines.length - last.length - 1] ?? "";
    expect(bytesOf(cut) + nextBefore.length + 1).toBeGreaterThan(maxOutputBytes);
  });

  test("is cut the same while it arrives, in pieces of any size", () => {
    for (const pieceBytes of [997, 65_536, 1_500_000, 5_000_000]) {
      const streamed = throughCutter(Buffer.from(text), pieceBytes);
      expect(streamed.isCut).toBe(true);
      expect(streamed.text === cut).toBe(true);
    }
  });

  test("keeps the end of a last line that does not fit", () => {
    const long = cutOutput(`${"a\n".repeat(600)}${"x".repeat(3 * maxOutputBytes)}`);
    expect(bytesOf(long)).toBe(maxOutputBytes);
    expect(markerLine(long).at).toBe(500);
    expect(long.endsWith("xxx")).toBe(true);
  });
});

describe("an output of few or long lines", () => {
  test.each([
    ["one line of ASCII", "x".repeat(2 * maxOutputBytes)],
    ["one byte too many", "x".repeat(maxOutputBytes + 1)],
    ["one line of three-byte characters", "€".repeat(maxOutputBytes)],
    ["one line of four-byte characters", "😀".repeat(maxOutputBytes)],
    ["an odd start before four-byte characters", `a${"😀".repeat(maxOutputBytes)}b`],
    ["600 lines of 4 kB", `${"y".repeat(4000)}\n`.repeat(600)],
    ["exactly 500 lines", `${"y".repeat(4000)}\n`.repeat(500)],
  ])("keeps its first 512 KiB, the marker, and its end: %s", (_name, text) => {
    const cut = cutOutput(text);
    expect(bytesOf(cut)).toBeLessThanOrEqual(maxOutputBytes);
    expect(bytesOf(cut)).toBeGreaterThan(maxOutputBytes - 8);
    expect(cut.includes("\uFFFD")).toBe(false);
    expect(cut.isWellFormed()).toBe(true);
    const rows = cut.split("\n");
    const at = rows.findIndex((row) => marker.test(row));
    const front = rows.slice(0, at).join("\n");
    expect(text.startsWith(front)).toBe(true);
    expect(Math.abs(bytesOf(front) - maxOutputBytes / 2)).toBeLessThan(4);
    expect(text.endsWith(rows.slice(at + 1).join("\n"))).toBe(true);
    expect(markerLine(cut).bytes).toBe(bytesOf(text));
    expect(throughCutter(Buffer.from(text), 100_003).text === cut).toBe(true);
  });

  test("keeps 500 first lines of exactly 512 KiB, and not those of a byte more", () => {
    const exact = `${"x".repeat(1048)}\n`.repeat(499);
    const rest = maxOutputBytes / 2 - exact.length - 1;
    const tail = "tail\n".repeat(300_000);
    expect(markerLine(cutOutput(`${exact}${"z".repeat(rest)}\n${tail}`)).at).toBe(500);
    const more = cutOutput(`${exact}${"z".repeat(rest + 1)}\n${tail}`);
    expect(more.split("\n")[499]).toBe("z".repeat(rest + 1));
    expect(more.split("\n")[500]).toMatch(marker);
    expect(bytesOf(more)).toBeLessThanOrEqual(maxOutputBytes);
  });
});

describe("bytes that are no text", () => {
  test("become replacement characters", () => {
    const { text, isCut } = throughCutter(Uint8Array.of(97, 0, 255, 98, 0xe2, 0x82), 1);
    expect(text).toBe("a\uFFFD\uFFFDb\uFFFD");
    expect(isCut).toBe(false);
    expect(storableText("a\0b\uD800c😀")).toBe("a\uFFFDb\uFFFDc😀");
  });

  test.each([0.5, 1, 3])("still fit into 1 MiB when %p MiB of zeros came", (mebibytes) => {
    const { text, isCut } = throughCutter(new Uint8Array(mebibytes * maxOutputBytes), 65_536);
    expect(isCut).toBe(true);
    expect(bytesOf(text)).toBeLessThanOrEqual(maxOutputBytes);
    expect(markerLine(text).bytes).toBe(mebibytes * maxOutputBytes);
  });

  test("do not disturb the characters around where the end is taken from", () => {
    const bytes = Buffer.concat([
      Buffer.from("😀".repeat(300_000)),
      Uint8Array.of(255),
      Buffer.from("é€".repeat(300_000)),
    ]);
    const { text } = throughCutter(bytes, 4_099);
    expect(text.endsWith("é€é€")).toBe(true);
    expect(text.includes("\uFFFD")).toBe(false);
    expect(bytesOf(text)).toBeLessThanOrEqual(maxOutputBytes);
  });
});
