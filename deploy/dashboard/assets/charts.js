// Line charts over optimizer steps: uPlot with our colours, a shared cursor, zoom and smoothing, a readable legend.
// A chart outside the window is not drawn.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { h, setText } from "./dom.js";
import { faded, ink, onTheme } from "./colours.js";
import { onView, width, zoom, zoomTo } from "./chart_view.js";
import { brief, NONE, whole } from "./format.js";
import { positive, smoothed } from "./series.js";

const sync = uPlot.sync("steps");
const MOVES = ["mousemove", "mouseleave"]; // what charts tell one another; each zooms by the shared state
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];
const charts = new Set();

onTheme(() => charts.forEach((chart) => chart.recolour()));
onView(() => charts.forEach((chart) => chart.draw()));
const resize = new ResizeObserver((entries) => {
  for (const entry of entries) entry.target.chart?.fit();
});
const visibility = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) entry.target.chart.see(entry.isIntersecting);
  },
  { rootMargin: "160px" },
);

/**
 * One chart. `lines`: [{label, colour(), dash?, format}]; `max`: fixed upper limit of the y axis;
 * `onsee(visible)`: called when it comes into the window or leaves it.
 */
export class Chart {
  constructor({ title, unit = "", lines, max = null, height = 150, points = false, zero = true, onsee = null }) {
    Object.assign(this, { lines, max, height, zero, points, onsee });
    this.visible = this.stale = this.log = false;
    this.values = lines.map(() => h("b", {}));
    this.swatches = lines.map((line) => h("i", { class: line.dash ? "swatch dashed" : "swatch" }));
    const keys = lines.map((line, i) => h("span", { class: "key" }, this.swatches[i], `${line.label} `, this.values[i]));
    this.step = h("span", { class: "at" });
    this.body = h("div", { class: "plot" });
    this.body.chart = this;
    this.switch = h("button", { type: "button", class: "log", "aria-pressed": "false", title: "Logarithmic axis", onclick: () => this.#turn() }, "log");
    this.element = h(
      "figure",
      { class: "card chart" },
      h("figcaption", {}, h("span", { class: "title", title }, title), h("span", { class: "quiet" }, unit), this.switch),
      this.body,
      h("div", { class: "legend" }, this.step, ...keys),
    );
    this.body.style.height = `${height}px`;
    resize.observe(this.body);
    visibility.observe(this.body);
    charts.add(this);
    this.recolour();
  }

  recolour() {
    this.lines.forEach((line, i) => (this.swatches[i].style.borderColor = line.colour()));
    this.plot?.redraw(false);
  }

  /** New data: steps, then one list of values per line; null: no value. */
  set(steps, columns) {
    Object.assign(this, { steps, columns });
    this.draw();
  }

  see(visible) {
    this.visible = visible;
    if (visible && this.stale) this.draw();
    this.onsee?.(visible);
  }

  /** Draw the data, if there is somebody to see it. */
  draw() {
    this.stale = true;
    if (!this.visible || !this.steps) return;
    const smooth = width() ? this.columns.map((values) => smoothed(this.steps, values, width())) : this.columns;
    const shown = [this.columns, smooth].map((each) => (this.log ? each.map(positive) : each));
    this.smooth = smooth;
    this.data = [this.steps, ...shown[0], ...shown[1]];
    this.stale = false;
    if (this.plot) this.plot.setData(this.data);
    else this.fit();
    this.#label(null);
  }

  fit() {
    const across = this.body.clientWidth;
    if (!across || !this.data) return;
    if (this.plot) this.plot.setSize({ width: across, height: this.height });
    else this.plot = new uPlot(this.#options(across), this.data, this.body);
  }

  remove() {
    resize.unobserve(this.body);
    visibility.unobserve(this.body);
    charts.delete(this);
    this.plot?.destroy();
  }

  /** Switch between a linear and a logarithmic axis. */
  #turn() {
    this.log = !this.log;
    this.switch.setAttribute("aria-pressed", String(this.log));
    this.plot?.destroy();
    this.plot = null;
    this.draw();
  }

  /** The values at a point; null: the newest. With smoothing, the value as reported follows in brackets. */
  #label(index) {
    setText(this.step, index === null ? "" : `step ${whole(this.steps[index])}`);
    this.lines.forEach((line, i) => {
      const at = index ?? this.columns[i].findLastIndex((value) => value !== null);
      const text = (value) => (value === null || value === undefined ? NONE : line.format(value));
      const exact = text(this.columns[i][at]);
      setText(this.values[i], width() ? `${text(this.smooth[i][at])} (${exact})` : exact);
    });
  }

  #options(across) {
    const axis = {
      stroke: () => ink("quiet"),
      grid: { stroke: () => ink("grid"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
      values: (_, marks) => marks.map((mark) => (mark === null ? "" : brief(mark))),
    };
    const line = ({ label, dash, width: thickness = 1.6 }) => ({ label, dash, width: thickness, spanGaps: true });
    return {
      width: across,
      height: this.height,
      legend: { show: false },
      cursor: {
        sync: { key: sync.key, filters: { pub: (type) => MOVES.includes(type) } },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => zoomTo() },
        points: { size: 6 },
      },
      scales: {
        x: { time: false, range: (_, low, high) => span(low, high) },
        y: { distr: this.log ? 3 : 1, range: (_, low, high) => this.#range(low, high) },
      },
      axes: [
        { ...axis, size: 24, gap: 2, grid: { show: false }, incrs: STEPS },
        { ...axis, size: 46, gap: 4 },
      ],
      series: [
        {},
        ...this.lines.map((each) => ({
          ...line(each),
          stroke: () => (width() ? faded(each.colour(), 0.28) : each.colour()),
          points: { show: this.points, size: 5 },
        })),
        ...this.lines.map((each) => ({
          ...line(each),
          stroke: () => (width() ? each.colour() : "transparent"),
          points: { show: false },
        })),
      ],
      hooks: {
        setCursor: [(plot) => this.#label(plot.cursor.idx ?? null)],
        setSelect: [(plot) => select(plot)],
      },
    };
  }

  #range(low, high) {
    if (this.log) return low === null ? [0.1, 1] : [low * 0.9, high * 1.1];
    if (this.max !== null) return [0, this.max];
    if (low === null || high === null) return [0, 1];
    if (low === high) return low ? [Math.min(0, 1.2 * low), Math.max(0, 1.2 * low)] : [0, 1];
    const bottom = this.zero ? Math.min(0, low) : low - 0.1 * (high - low || 1);
    return [bottom, high + 0.08 * (high - bottom || 1)];
  }
}

/** The steps that are shown of low..high. */
function span(low, high) {
  const [first, last] = zoom() ?? [null, null];
  const [from, to] = [first ?? low, last ?? high];
  return to > from ? [from, to] : [from - 0.5, from + 0.5];
}

/** Zoom every chart to what was selected in one. */
function select(plot) {
  const { left, width: across } = plot.select;
  if (!across) return;
  const [first, last] = [left, left + across].map((x) => Math.round(plot.posToVal(x, "x")));
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  zoomTo(first, Math.max(last, first + 1));
}
