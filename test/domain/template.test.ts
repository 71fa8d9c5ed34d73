import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fillTemplate, TemplateError, templatePlaceholders } from "../../src/domain/template.ts";

describe("a command template", () => {
  test("becomes one argument for each word", () => {
    expect(fillTemplate("python train.py --lr {lr} --epochs={epochs}", { lr: 0.01, epochs: 3 })).toEqual([
      "python",
      "train.py",
      "--lr",
      "0.01",
      "--epochs=3",
    ]);
  });

  test("keeps any value inside its argument", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        fc.pre(!value.includes("\0"));
        expect(fillTemplate("run {x} end", { x: value })).toEqual(["run", value, "end"]);
        expect(fillTemplate("run --x={x}'{x}'", { x: value })).toEqual(["run", `--x=${value}${value}`]);
      }),
    );
  });

  test("honours quotes, backslashes and doubled braces", () => {
    expect(fillTemplate(`a 'b c' "d \\" e" f\\ g {{h}} ''`, {})).toEqual([
      "a",
      "b c",
      'd " e',
      "f g",
      "{h}",
      "",
    ]);
  });

  test("writes values that are no strings as JSON", () => {
    expect(fillTemplate("x {a} {b} {c}", { a: true, b: [1, 2], c: { k: "v" } })).toEqual([
      "x",
      "true",
      "[1,2]",
      '{"k":"v"}',
    ]);
  });

  test.each([
    ["python {lr}", {}, "needs {lr}"],
    ["python", { lr: 1 }, "give {lr}, which the template does not use"],
    ["python {lr}", { lr: null }, "{lr} is null"],
    ["python {lr", { lr: 1 }, "not closed"],
    ["python lr}", {}, "closes nothing"],
    ["python {a b}", {}, "no placeholder"],
    ["python {}", {}, "no placeholder"],
    ["python 'x", {}, "quote ' is not closed"],
    ["   ", {}, "is empty"],
    ["python {x}", { x: "a\0b" }, "NUL"],
  ] as const)("refuses %p with %p", (template, parameters, message) => {
    expect(() => fillTemplate(template, parameters)).toThrow(TemplateError);
    expect(() => fillTemplate(template, parameters)).toThrow(message);
  });

  test("does not take a placeholder's value for another placeholder", () => {
    expect(fillTemplate("x {a} {b}", { a: "{b}", b: "1" })).toEqual(["x", "{b}", "1"]);
    expect(() => fillTemplate("x {constructor}", {})).toThrow("needs {constructor}");
  });

  test("names its placeholders once each", () => {
    expect(templatePlaceholders("x {a} {b} --c={a}")).toEqual(["a", "b"]);
  });
});
