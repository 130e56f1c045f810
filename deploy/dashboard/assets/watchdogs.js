// The outcome of a run in a few answers, before any number.

import { h, put } from "./dom.js";
import { visible } from "./format.js";

const MARKS = { good: "✓", bad: "✗", unknown: "?" };

export class Watchdogs {
  constructor() {
    this.element = h("section", { class: "watchdogs", "aria-label": "Outcome", "aria-live": "polite" });
  }

  set(live) {
    const key = JSON.stringify(live.watchdogs);
    if (key === this.key) return;
    this.key = key;
    put(this.element, ...live.watchdogs.map(box));
  }
}

function box({ title, state, detail, remedy }) {
  return h(
    "div",
    { class: `watchdog ${state}` },
    h("b", {}, h("span", { class: "mark", "aria-hidden": "true" }, MARKS[state]), visible(title)),
    h("span", {}, visible(detail)),
    state === "bad" && remedy ? h("span", { class: "remedy" }, visible(remedy)) : null,
  );
}
