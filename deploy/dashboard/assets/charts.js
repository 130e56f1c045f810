// Line charts over optimizer steps: uPlot with our colours, a shared cursor and a readable legend.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { h } from "./dom.js";
import { ink, onTheme } from "./colours.js";

const sync = uPlot.sync("steps");
const charts = new Set();

onTheme(() => charts.forEach((chart) => chart.recolour()));
const resize = new ResizeObserver((entries) => {
  for (const entry of entries) entry.target.chart?.fit();
});

/** One chart. `lines`: [{label, colour(), dash?, format}]; `max`: fixed upper limit of the y axis. */
export class Chart {
  constructor({ title, unit = "", lines, max = null, height = 150, points = false, zero = true }) {
    Object.assign(this, { lines, max, height, zero, points });
    this.values = lines.map(() => h("b", {}));
    this.swatches = lines.map((line) => h("i", { class: line.dash ? "swatch dashed" : "swatch" }));
    const keys = lines.map((line, i) => h("span", { class: "key" }, this.swatches[i], `${line.label} `, this.values[i]));
    this.body = h("div", { class: "plot" });
    this.body.chart = this;
    this.element = h(
      "figure",
      { class: "card chart" },
      h("figcaption", {}, h("span", { class: "title" }, title), h("span", { class: "quiet" }, unit)),
      this.body,
      h("div", { class: "legend" }, ...keys),
    );
    resize.observe(this.body);
    charts.add(this);
    this.recolour();
  }

  recolour() {
    this.lines.forEach((line, i) => (this.swatches[i].style.borderColor = line.colour()));
    this.plot?.redraw(false);
  }

  /** New data: steps, then one list of values per line; null: no value. */
  set(steps, columns) {
    this.data = [steps, ...columns];
    this.#label(null);
    if (this.plot) this.plot.setData(this.data);
    else this.fit();
  }

  fit() {
    const width = this.body.clientWidth;
    if (!width || !this.data) return;
    if (this.plot) this.plot.setSize({ width, height: this.height });
    else this.plot = new uPlot(this.#options(width), this.data, this.body);
  }

  remove() {
    resize.unobserve(this.body);
    charts.delete(this);
    this.plot?.destroy();
  }

  #label(index) {
    this.lines.forEach((line, i) => {
      const values = this.data[i + 1];
      const value = index === null ? values.findLast((v) => v !== null) : values[index];
      this.values[i].textContent = value === null || value === undefined ? "–" : line.format(value);
    });
  }

  #options(width) {
    const axis = {
      stroke: () => ink("quiet"),
      grid: { stroke: () => ink("grid"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    return {
      width,
      height: this.height,
      legend: { show: false },
      cursor: { sync: { key: sync.key }, drag: { x: true, y: false }, points: { size: 6 } },
      scales: { x: { time: false }, y: { range: (_, low, high) => this.#range(low, high) } },
      axes: [
        { ...axis, size: 24, gap: 2, grid: { show: false } },
        { ...axis, size: 46, gap: 4 },
      ],
      series: [
        {},
        ...this.lines.map((line) => ({
          label: line.label,
          stroke: line.colour,
          width: line.width ?? 1.6,
          dash: line.dash,
          spanGaps: true,
          points: { show: this.points, size: 5 },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#label(plot.cursor.idx ?? null)] },
    };
  }

  #range(low, high) {
    if (this.max !== null) return [0, this.max];
    if (low === null || high === null) return [0, 1];
    const bottom = this.zero ? Math.min(0, low) : low - 0.1 * (high - low || 1);
    return [bottom, high + 0.08 * (high - bottom || 1)];
  }
}
