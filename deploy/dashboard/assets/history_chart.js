// The history of one problem: a point for each group.

import { armColour } from "./colours.js";
import { s } from "./dom.js";

/** Success of every group of a problem over the steps. */
export function historyChart(history) {
  const [width, height, pad] = [460, 90, 8];
  const last = Math.max(1, ...history.map((group) => group.step));
  const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "course", role: "img", "aria-label": "Success of each group over the steps" });
  for (const y of [0, 0.5, 1]) drawing.append(s("line", { x1: 0, x2: width, y1: at(y), y2: at(y), class: "grid-line" }));
  for (const arm of [...new Set(history.map((group) => group.arm))]) {
    const points = history.filter((g) => g.arm === arm && g.judged).map((g) => [pad + (g.step / last) * (width - 2 * pad), at(g.successes / g.judged)]);
    const path = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join(" ");
    drawing.append(s("path", { d: path, class: "course-line", stroke: armColour(arm) }));
    drawing.append(...points.map(([x, y]) => s("circle", { cx: x, cy: y, r: 3, fill: armColour(arm) })));
  }
  return drawing;

  function at(share) {
    return pad + (1 - share) * (height - 2 * pad);
  }
}
