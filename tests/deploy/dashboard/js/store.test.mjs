// The pure functions of the page: node --test.

import assert from "node:assert/strict";
import { test } from "node:test";
import { marks, paint, palette, Rates } from "../../../../deploy/dashboard/assets/heat.js";
import { ago, duration, percent, visible, whole } from "../../../../deploy/dashboard/assets/format.js";
import { ordered, RunStore, transferOf } from "../../../../deploy/dashboard/assets/store.js";
import { place } from "../../../../deploy/dashboard/assets/ring.js";
import { ratioStrength } from "../../../../deploy/dashboard/assets/rollout.js";
import { terms } from "../../../../deploy/dashboard/assets/accounting.js";

const heat = (ids, cells, arms = ["unguided", "guided"]) => ({ arms, ids, buckets: ids.map(() => "hard"), cells });
const change = (whole, columns, rows, h = heat([], [])) => ({ whole, live: { step: 1 }, steps: { columns, rows }, heat: h });

test("rows are added, replaced and kept in the order of steps", () => {
  const store = new RunStore();
  store.apply(change(true, ["step", "ess", "loss"], [[0, null, 1], [1, 0.5, 2]]));
  store.apply(change(false, ["step", "ess"], [[3, 0.7], [1, 0.6]]));
  store.apply(change(false, ["step", "ess"], [[2, 0.65]]));
  assert.deepEqual(store.steps, [0, 1, 2, 3]);
  assert.deepEqual(store.column("ess"), [null, 0.6, 0.65, 0.7]);
  assert.deepEqual(store.column("loss"), [1, null, null, null]); // a row is sent whole
});

test("a whole state replaces the earlier one", () => {
  const store = new RunStore();
  store.apply(change(true, ["step"], [[0]], heat(["p"], [[0, 0, 0, 1, 8]])));
  store.apply(change(true, ["step"], [[5]], heat(["q"], [[0, 1, 5, 1, 8]])));
  assert.deepEqual(store.ids, ["q"]);
  assert.deepEqual(store.steps, [5]);
  assert.equal(store.cells.length, 1);
  assert.deepEqual(store.facts[0].first, { guided: 5 });
});

test("problems are sorted by first solve, transfer and solve rate", () => {
  const store = new RunStore();
  const cells = [[0, 0, 4, 1, 8], [1, 1, 1, 2, 8], [1, 0, 2, 8, 8], [2, 0, 1, 0, 8], [3, 1, 3, 1, 8]];
  store.apply(change(true, ["step"], [], heat(["a", "b", "c", "d"], cells)));
  assert.deepEqual(store.facts.map(transferOf), ["unguided first", "carried over", "unsolved", "guided only"]);
  assert.deepEqual(ordered(store, "first solve"), [1, 0, 2, 3]);
  assert.deepEqual(ordered(store, "transfer"), [1, 3, 0, 2]);
  assert.deepEqual(ordered(store, "problem"), [0, 1, 2, 3]);
  assert.deepEqual(ordered(store, "solve rate"), [3, 2, 0, 1]);
});

test("rates of one arm are added and kept when the matrix grows", () => {
  const rates = new Rates();
  const cells = [[0, 0, 0, 2, 8], [0, 1, 0, 8, 8], [1, 0, 70, 8, 8]];
  rates.take(cells, 0, 2);
  cells.push([0, 0, 200, 4, 8]);
  rates.take(cells, 0, 3);
  assert.equal(rates.at(0, 0), 0.25);
  assert.equal(rates.at(1, 70), 1);
  assert.equal(rates.at(0, 200), 0.5);
  assert.equal(rates.at(2, 5), null);
  assert.deepEqual(rates.upTo(0, 150), { step: 0, rate: 0.25 });
  assert.equal(rates.upTo(1, 69), null);
  assert.equal(rates.last, 200);
});

test("a pixel is empty before the first group, then its rate, then the same rate faded", () => {
  const rates = new Rates();
  rates.take([[0, 0, 1, 8, 8], [1, 0, 3, 0, 8]], 0, 2);
  const pixels = new Uint32Array(8);
  const colours = palette([0, 0, 0], [255, 128, 0]);
  paint(pixels, rates, [1, 0], colours);
  assert.deepEqual([...pixels], [0, 0, 0, colours[0], 0, colours[100], colours[201], colours[201]]);
  assert.equal(colours[100] >>> 0, 0xff0080ff);
});

test("steps that share a pixel show their newest group", () => {
  const rates = new Rates();
  rates.take([[0, 0, 0, 8, 8], [0, 0, 1, 0, 8], [0, 0, 4, 4, 8]], 0, 1);
  const pixels = new Uint32Array(3);
  const colours = palette([0, 0, 0], [255, 128, 0]);
  paint(pixels, rates, [0], colours, 2);
  assert.deepEqual([...pixels], [colours[0], colours[101], colours[50]]);
});

test("an axis has round marks, no more than fit", () => {
  assert.deepEqual(marks(60, 10), [0, 10, 20, 30, 40, 50, 60]);
  assert.deepEqual(marks(999, 6), [0, 200, 400, 600, 800]);
  assert.deepEqual(marks(0, 5), [0]);
  assert.deepEqual(marks(3, 10), [0, 1, 2, 3]);
});

test("a thousand problems by a thousand steps are painted within 100 ms", () => {
  const rates = new Rates();
  const cells = Array.from({ length: 60_000 }, (_, i) => [i % 1000, 0, Math.floor(i / 60), i % 9, 8]);
  rates.take(cells, 0, 1000);
  const order = Array.from({ length: 1000 }, (_, i) => i);
  const pixels = new Uint32Array(1000 * 1000);
  const colours = palette([0, 0, 0], [255, 255, 255]);
  paint(pixels, rates, order, colours);
  const times = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage().user;
    paint(pixels, rates, order, colours);
    return (process.cpuUsage().user - before) / 1000;
  });
  assert.ok(Math.min(...times) < 100, `${Math.min(...times)} ms`);
});

test("groups keep their slots in the ring while others enter and leave", () => {
  const group = (arrival) => ({ arrival, samples: 2 });
  const before = place([group(1), group(2), group(3)], 8);
  const after = place([group(2), group(3), group(4)], 8);
  assert.deepEqual(before.map((g) => g?.arrival), [undefined, undefined, 1, 1, 2, 2, 3, 3]);
  assert.deepEqual(after.map((g) => g?.arrival), [4, 4, undefined, undefined, 2, 2, 3, 3]);
  const mixed = place([{ arrival: 1, samples: 3 }, { arrival: 2, samples: 2 }, { arrival: 3, samples: 3 }], 8);
  assert.equal(mixed.filter(Boolean).length, 8);
});

test("numbers are formatted for readers", () => {
  assert.equal(duration(3725), "1:02:05");
  assert.equal(duration(65), "1:05");
  assert.equal(ago(3.21), "3.2 s");
  assert.equal(percent(0.256), "26%");
  assert.equal(percent(null), "–");
  assert.equal(whole(12345.6), "12,346");
});

test("control characters and bidirectional overrides are shown by their codes", () => {
  assert.equal(visible("a\u001b[2J\u202eb\nc\t"), "a\\x1b[2J\\x202eb\nc\t");
});

test("a ratio has full strength at a factor of two in either direction", () => {
  assert.equal(ratioStrength(1), 0);
  assert.equal(ratioStrength(2), ratioStrength(0.5));
  assert.equal(ratioStrength(0), 0.7);
});

test("the balance has one term for each outcome", () => {
  const balance = { trained: 5, filtered: { a: 2, b: 1 }, replaced: 1, stale: 0, failed: {}, in_flight: { ring: 2 } };
  assert.deepEqual(terms(balance).map(([, n]) => n), [5, 3, 1, 0, 0, 2]);
});
