// Series of the charts, by numbers one can check by hand: node --test.

import assert from "node:assert/strict";
import { test } from "node:test";
import { families, joined, matches, positive, smoothed } from "../../../../deploy/dashboard/assets/series.js";
import { brief, number } from "../../../../deploy/dashboard/assets/format.js";
import { onView, smoothOver, width, zoom, zoomTo } from "../../../../deploy/dashboard/assets/chart_view.js";

test("series with other steps are joined, with gaps", () => {
  const [steps, a, b] = joined([{ steps: [1, 3], values: [10, 30] }, { steps: [2, 3], values: [2, 3] }]);
  assert.deepEqual([steps, a, b], [[1, 2, 3], [10, null, 30], [null, 2, 3]]);
});

test("smoothing weighs a value by exp(-age / width), and a constant stays itself", () => {
  assert.deepEqual(smoothed([1, 2, 9], [4, null, 4], 3), [4, null, 4]);
  const kept = Math.exp(-1 / 2);
  const [first, second] = smoothed([1, 2], [0, 1], 2);
  assert.equal(first, 0);
  assert.ok(Math.abs(second - 1 / (1 + kept)) < 1e-12);
  const gap = smoothed([1, 101], [0, 1], 2)[1]; // 50 widths later the old value counts for nothing
  assert.ok(Math.abs(gap - 1) < 1e-12);
  assert.deepEqual(smoothed([1, 2], [5, 7], 0), [5, 7]);
});

test("a log axis shows what is positive", () => {
  assert.deepEqual(positive([1, 0, -1, null, 1e-9]), [1, null, null, null, 1e-9]);
});

test("numbers of one family are lines of one chart, found by any of its words", () => {
  const name = (name, family, line) => ({ name, family, line, group: "Rewards", unit: "share" });
  const charts = families([name("r/a", "r/*", "a"), name("r/b", "r/*", "b"), name("x", "x", "")]);
  assert.deepEqual(charts.map((each) => [each.family, each.lines.map(({ line }) => line)]), [["r/*", ["a", "b"]], ["x", [""]]]);
  assert.ok(matches(charts[0], "reward B"));
  assert.ok(matches(charts[1], ""));
  assert.ok(!matches(charts[1], "r/ entropy"));
});

test("a zoom is kept until it is taken back, and may end with the run", () => {
  let calls = 0;
  const end = onView(() => (calls += 1));
  zoomTo(10, 20);
  smoothOver(5);
  assert.deepEqual([zoom(), width(), calls], [[10, 20], 5, 2]);
  zoomTo(10);
  assert.deepEqual(zoom(), [10, null]);
  zoomTo(20, 10);
  assert.equal(zoom(), null);
  end();
  smoothOver(0);
  assert.equal(calls, 4);
});

test("numbers have four significant digits, marks of an axis a unit", () => {
  assert.deepEqual([0.000123456, 12.3456, 12345.6, 1.23e-7, 0, null].map(number), ["0.0001235", "12.35", "12,346", "1.23e-7", "0", "–"]);
  assert.deepEqual([0, 0.05, 1500, 600_000, 2.5e6, 1e-5].map(brief), ["0", "0.05", "1500", "600k", "2.5M", "1e-5"]);
});
