// What all charts share: the steps that are shown and the smoothing, with the controls for both.

import { h, setText } from "./dom.js";
import { counted } from "./format.js";

export const WIDTHS = [0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 1000]; // steps

const listeners = new Set();
const state = { zoom: null, width: 0 };

/** [first step, last step] that is shown, null for an open end; null: the whole run. */
export const zoom = () => state.zoom;
/** Steps that a curve is smoothed over; 0: not at all. */
export const width = () => state.width;

/** Call the listener when zoom or smoothing change. Returns a function that ends this. */
export function onView(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Steps first to last; a last one of null moves with the run. Without two steps in order: the whole run. */
export function zoomTo(first = null, last = null) {
  const whole = (first === null && last === null) || (last !== null && last <= (first ?? 0));
  change({ zoom: whole ? null : [first, last] });
}

export const smoothOver = (steps) => change({ width: steps });

function change(to) {
  Object.assign(state, to);
  for (const listener of listeners) listener();
}

/** Smoothing, the range of steps, and a button for the whole run. */
export class ViewControls {
  constructor() {
    const slider = { type: "range", min: 0, max: WIDTHS.length - 1, "aria-label": "Smoothing, steps" };
    this.slider = h("input", { ...slider, oninput: () => smoothOver(WIDTHS[this.slider.value]) });
    this.said = h("output", {});
    [this.first, this.last] = ["First step", "Last step"].map((label) =>
      h("input", { type: "number", min: 0, step: 1, class: "step", "aria-label": label, onchange: () => this.#typed() }),
    );
    this.whole = h("button", { type: "button", onclick: () => zoomTo() }, "whole run");
    this.element = h(
      "div",
      { class: "view-controls", role: "group", "aria-label": "All charts" },
      h("label", {}, h("span", { class: "quiet" }, "smoothing "), this.slider, this.said),
      h("span", { class: "range" }, h("span", { class: "quiet" }, "steps "), this.first, " – ", this.last, this.whole),
      h("span", { class: "quiet hint" }, "drag over a chart to zoom, double click for the whole run"),
    );
    this.end = onView(() => this.#show());
    this.#show();
  }

  remove() {
    this.end();
  }

  #typed() {
    const [first, last] = [this.first, this.last].map((input) => (input.value === "" ? null : Number(input.value)));
    zoomTo(first, last);
  }

  #show() {
    this.slider.value = WIDTHS.indexOf(state.width);
    setText(this.said, state.width ? `over ${counted(state.width, "step")}` : "off");
    this.slider.setAttribute("aria-valuetext", this.said.textContent);
    const [first, last] = state.zoom ?? [null, null];
    [this.first.value, this.last.value] = [first ?? "", last ?? ""];
    this.whole.hidden = state.zoom === null;
  }
}
