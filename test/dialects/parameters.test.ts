import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { readParameters, type TextParameters } from "../../src/dialects/parameters.ts";
import { InvalidRequestError } from "../../src/dialects/requestErrors.ts";
import { parseByteRange } from "../../src/dialects/yardmaster/byteRange.ts";

const read = readParameters(
  z.strictObject({
    limit: z.int().default(10),
    deep: z.boolean().optional(),
    state: z.array(z.enum(["a", "b"])).optional(),
    name: z.string().optional(),
  }),
  "query",
);

function query(text: string): TextParameters {
  const all = new URLSearchParams(text);
  return Object.assign((name: string) => all.getAll(name), { names: [...all.keys()] });
}

function issuesOf(text: string): (string | number | undefined)[] {
  try {
    read(query(text));
    return [];
  } catch (error) {
    if (error instanceof InvalidRequestError) return error.issues.map((issue) => issue.path[0]);
    throw error;
  }
}

describe("parameters", () => {
  test("texts become what the schema says", () => {
    expect(read(query("limit=5&deep=true&state=a&state=b&name=7"))).toEqual({
      limit: 5,
      deep: true,
      state: ["a", "b"],
      name: "7",
    });
    expect(read(query(""))).toEqual({ limit: 10 });
  });

  test("a text that only resembles a number or boolean is refused", () => {
    for (const wrong of ["", " 5", "0x10", "1e3", "5.5", "Infinity", "５"]) {
      expect(issuesOf(`limit=${encodeURIComponent(wrong)}`)).toEqual(["limit"]);
    }
    for (const wrong of ["", "1", "TRUE", "yes"]) expect(issuesOf(`deep=${wrong}`)).toEqual(["deep"]);
  });

  test("a value given twice and an unknown name are refused", () => {
    expect(issuesOf("limit=1&limit=1")).toEqual(["limit"]);
    expect(issuesOf("color=red")).toEqual(["color"]);
    expect(issuesOf("__proto__=1")).toEqual(["__proto__"]);
  });
});

describe("byte ranges", () => {
  test("are read as RFC 9110 says", () => {
    expect(parseByteRange("bytes=0-0", 10)).toEqual({ start: 0, end: 1 });
    expect(parseByteRange("bytes=3-", 10)).toEqual({ start: 3, end: 10 });
    expect(parseByteRange("bytes=-99", 10)).toEqual({ start: 0, end: 10 });
    for (const unsatisfiable of ["bytes=10-", "bytes=-0"]) {
      expect(parseByteRange(unsatisfiable, 10)).toBe("unsatisfiable");
    }
    expect(parseByteRange("bytes=0-", 0)).toBe("unsatisfiable");
    for (const whole of [null, "", "bytes=-", "bytes=5-1", "bytes=a-b", "items=0-1", "bytes=0-1,3-4"]) {
      expect(parseByteRange(whole, 10)).toBeNull();
    }
  });
});
