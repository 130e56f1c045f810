// Every number of the reports: a chart for each family, in groups, searchable. Only visible charts are fetched. A second
// run can be laid over the first; the settings in which they differ stand above.

import { h, put, setText, table } from "./dom.js";
import { armColour, hasArm, series } from "./colours.js";
import { Chart } from "./charts.js";
import { ViewControls, width, zoom, onView } from "./chart_view.js";
import { counted, number, visible } from "./format.js";
import { families, joined, matches } from "./series.js";

const EVERY_MS = 1500;
const MOST_LINES = 12;
const DASHES = [undefined, [2, 3]]; // with more lines than colours
const OTHER_DASH = [6, 4];
const NOBODY = "";

export class Metrics {
  /** `fetchOf(run)(part)`: what the server has under a run's address. `others`: runs to lay over `run`. */
  constructor(store, { run, others, fetchOf, go }) {
    Object.assign(this, { store, run, fetchOf });
    this.opened = NOBODY;
    const options = [h("option", { value: NOBODY }, "no other run"), ...others.map((name) => h("option", { value: name }, name))];
    this.choice = h("select", { "aria-label": "Other run", onchange: () => go("metrics", this.choice.value || null) }, ...options);
    this.against = h("label", { class: "against" }, h("span", { class: "quiet" }, "beside "), this.choice);
    this.against.hidden = !others.length;
    this.settings = h("section", { class: "card", hidden: true, "aria-label": "Settings that differ" });
    this.controls = new ViewControls();
    this.search = h("input", { type: "search", placeholder: "search, for example: entropy", "aria-label": "Search metrics", oninput: () => this.#filter() });
    this.count = h("span", { class: "quiet", role: "status" });
    this.groups = h("div", { class: "metric-groups" }, h("p", { class: "quiet" }, "No report yet."));
    this.element = h("div", { class: "metrics" }, h("div", { class: "metric-tools card" }, this.search, this.count, this.against, this.controls.element), this.settings, this.groups);
    this.drawn = [];
    this.wanted = [];
    this.dirty = false;
    this.known = -1;
    this.endView = onView(() => (this.dirty = true)); // a zoomed part is sent in more detail
    this.timer = setInterval(() => this.#tick(), EVERY_MS);
  }

  update(what) {
    if (what.whole || this.known <= 0) this.#name();
    this.dirty ||= what.steps;
  }

  recolour() {}

  /** Lay a run over this one; without a name: none. */
  show(other = NOBODY) {
    this.opened = this.choice.value = other;
    this.known = -1;
    this.#showSettings();
    this.#name();
  }

  async #showSettings() {
    const other = this.opened;
    this.settings.hidden = !other;
    if (!other) return;
    const found = await this.fetchOf(this.run)(`differences/${encodeURIComponent(other)}`);
    if (!found || other !== this.opened) return;
    const rows = found.map(({ setting, here, there }) => [h("code", {}, setting), visible(here || "–"), visible(there || "–")]);
    const title = `${counted(found.length, "setting")} that differ${found.length === 1 ? "s" : ""}`;
    put(this.settings, h("h2", {}, title), found.length ? table(["setting", this.run, other], rows) : h("p", { class: "quiet" }, "Only the name differs."));
  }

  remove() {
    this.removed = true;
    clearInterval(this.timer);
    this.endView();
    this.controls.remove();
    this.#clear();
  }

  #clear() {
    this.drawn.forEach(({ chart }) => chart.remove());
    this.drawn = [];
  }

  /** Build a chart for each family of numbers. */
  async #name() {
    const names = await this.fetchOf(this.run)("metrics");
    if (!names || this.removed || names.length === this.known) return;
    this.known = names.length;
    this.#clear();
    const sections = new Map();
    for (const spec of families(names)) {
      const lines = spec.lines.slice(0, MOST_LINES);
      const left = spec.lines.length - lines.length;
      const chart = new Chart({
        title: spec.family,
        unit: left ? `${spec.unit}, ${left} more lines` : spec.unit,
        lines: [
          ...lines.map(({ line }, i) => drawing(line || (this.opened ? this.run : "value"), line, i)),
          ...(this.opened ? lines.map(({ line }, i) => drawing([line, this.opened].filter(Boolean).join(" · "), line, i, OTHER_DASH)) : []),
        ],
        zero: false,
        onsee: (visible) => visible && this.#want(entry),
      });
      const entry = { spec: { ...spec, lines }, chart };
      this.drawn.push(entry);
      if (!sections.has(spec.group)) sections.set(spec.group, []);
      sections.get(spec.group).push(chart.element);
    }
    this.sections = [...sections].map(([group, elements]) => h("details", { open: true }, h("summary", {}, group), h("div", { class: "charts" }, ...elements)));
    put(this.groups, ...this.sections);
    this.#filter();
  }

  #filter() {
    let shown = 0;
    for (const { spec, chart } of this.drawn) {
      const found = matches(spec, this.search.value.trim());
      chart.element.hidden = !found;
      shown += found;
    }
    for (const section of this.sections ?? []) section.hidden = !section.querySelector("figure:not([hidden])");
    setText(this.count, `${shown === this.drawn.length ? "" : `${shown} of `}${counted(this.drawn.length, "chart")}`);
  }

  /** Fetch a chart that came into the window, with the others of this moment. */
  #want(entry) {
    if (!this.wanted.length) queueMicrotask(() => this.#fetch(this.wanted.splice(0)));
    this.wanted.push(entry);
  }

  async #tick() {
    if (!this.dirty && !this.opened) return; // of the other run no changes are sent
    this.dirty = false;
    await this.#fetch(this.drawn.filter(({ chart }) => chart.visible));
  }

  /** Fetch the series of some charts in one request. */
  async #fetch(entries) {
    const names = entries.flatMap(({ spec }) => spec.lines.map(({ name }) => name));
    if (!names.length) return;
    const runs = this.opened ? [this.run, this.opened] : [this.run];
    const pages = await Promise.all(runs.map((name) => this.fetchOf(name)(`series?${query(names)}`)));
    if (pages.includes(null) || this.removed || (this.opened ? 2 : 1) !== runs.length) return;
    const byName = pages.map((page) => new Map(page.series.map((each) => [each.name, each])));
    for (const { spec, chart } of entries) {
      const [steps, ...columns] = joined(byName.flatMap((found) => spec.lines.map(({ name }) => found.get(name))));
      if (columns.length === chart.lines.length) chart.set(steps, columns);
    }
    if (pages[0].metrics !== this.known) this.#name();
  }
}

/** Names and range; smoothing needs what came before the range. */
function query(names) {
  const words = new URLSearchParams(names.map((name) => ["name", name]));
  const [first, last] = zoom() ?? [null, null];
  if (first !== null) words.set("from", Math.max(0, first - 5 * width()));
  if (last !== null) words.set("to", last);
  return words;
}

/** One line of a chart. */
const drawing = (label, line, i, dash = DASHES[i > 6 ? 1 : 0]) => ({ label, colour: () => colourOf(line, i), dash, format: number });

/** An arm has its colour everywhere, also within a part such as hard/guided. */
function colourOf(line, i) {
  const arm = line.split("/").at(-1);
  return hasArm(arm) ? armColour(arm) : series(i);
}
