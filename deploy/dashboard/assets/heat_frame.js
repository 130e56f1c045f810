// What surrounds the heat map: axes, titles, and the key of its colours.

import { h, put } from "./dom.js";
import { marks } from "./heat.js";

const MARK_ROOM = 60; // pixels of the page

export class HeatFrame {
  /** `canvas`: the map; `band`: the marked row over it. */
  constructor(canvas, band) {
    this.rows = h("div", { class: "heat-rows", "aria-hidden": "true" });
    this.steps = h("div", { class: "heat-steps", "aria-hidden": "true" });
    this.yTitle = h("div", { class: "heat-title" });
    this.ramp = h("i", { class: "ramp" });
    this.faded = h("i", { class: "ramp" });
    this.scroll = h(
      "div",
      { class: "heat-scroll" },
      h("div", { class: "heat-grid" }, this.rows, h("div", { class: "heat-frame" }, canvas, band), this.steps),
    );
    const key = (mark, text) => h("span", { class: "key" }, mark, text);
    this.key = h(
      "div",
      { class: "legend heat-key" },
      h("span", { class: "key" }, "0%", this.ramp, "100% correct in a group of this step"),
      key(this.faded, "faded: no group in this step, the last rate"),
      key(h("i", { class: "ramp none" }), "no group yet"),
    );
    this.element = h("div", {}, this.key, this.yTitle, this.scroll, h("div", { class: "heat-title under" }, "optimizer step"));
  }

  /** `rows` of `rowHeight` pixels in an order, `steps` columns, colours as CSS texts. */
  set({ rows, rowHeight, steps, order, low, high }) {
    put(this.yTitle, `problem, by ${order}`);
    const across = this.scroll.clientWidth || 600;
    const numbers = marks(rows, (rows * rowHeight) / MARK_ROOM + 1).map((number) => number || 1);
    put(this.rows, ...numbers.map((number) => at("top", Math.max(7, (number - 0.5) * rowHeight), "px", number)));
    put(this.steps, ...marks(steps - 1, across / MARK_ROOM).map((step) => at("left", (100 * (step + 0.5)) / steps, "%", step)));
    this.ramp.style.background = this.faded.style.background = `linear-gradient(to right, ${low}, ${high})`;
    this.faded.style.opacity = 0.72;
  }
}

function at(side, place, unit, text) {
  const mark = h("span", {}, String(text));
  mark.style[side] = `${place}${unit}`;
  return mark;
}
