// Several runs: their newest numbers in a table, their curves in common charts.

import { h, put, table } from "./dom.js";
import { series } from "./colours.js";
import { decimal, percent, rate, whole } from "./format.js";
import { Chart } from "./charts.js";
import { ViewControls } from "./chart_view.js";

const CURVES = [
  { title: "Success, unguided", unit: "share correct", column: "success/unguided", max: 1.02, format: percent },
  { title: "Hard problems solved, unguided", unit: "share", column: "solved/unguided", max: 1.02, format: percent, share: true },
  { title: "Success, guided", unit: "share correct", column: "success/guided", max: 1.02, format: percent },
  { title: "Entropy", unit: "nats per token", column: "entropy", format: (v) => decimal(v) },
  { title: "Lag of trained tokens", unit: "steps, mean", column: "lag_mean", format: (v) => decimal(v, 2) },
  { title: "Effective sample size", column: "ess", max: 1.05, format: (v) => decimal(v) },
];
const EVERY_MS = 2000;

export class Runs {
  constructor(fetchCards, go) {
    Object.assign(this, { fetchCards, go });
    this.hidden = new Set();
    this.list = h("section", { class: "card wide" });
    this.charts = h("div", { class: "charts large" });
    this.controls = new ViewControls();
    this.element = h("div", { class: "runs" }, this.list, this.controls.element, this.charts);
    this.drawn = [];
    this.timer = setInterval(() => this.#refresh(), EVERY_MS);
    this.#refresh();
  }

  update() {}

  recolour() {
    if (this.cards) this.#draw();
  }

  remove() {
    this.controls.remove();
    clearInterval(this.timer);
    this.drawn.forEach((chart) => chart.remove());
  }

  async #refresh() {
    const cards = await this.fetchCards();
    if (cards) {
      this.cards = cards;
      this.#draw();
    }
  }

  #draw() {
    const names = Object.keys(this.cards);
    if (!this.list.contains(document.activeElement)) {
      const left = this.list.querySelector(".table")?.scrollLeft ?? 0;
      const drawn = this.#table(names);
      put(this.list, h("h2", {}, "Runs"), drawn);
      drawn.scrollLeft = left;
    }
    const shown = names.filter((name) => !this.hidden.has(name));
    if (shown.join() !== this.shown) {
      this.shown = shown.join();
      this.drawn.forEach((chart) => chart.remove());
      const lines = (curve) => shown.map((name) => ({ label: name, colour: () => series(names.indexOf(name)), format: curve.format }));
      this.drawn = CURVES.map((curve) => new Chart({ ...curve, lines: lines(curve), height: 190 }));
      put(this.charts, ...this.drawn.map((chart) => chart.element));
    }
    const steps = [...new Set(shown.flatMap((name) => this.cards[name].steps.rows.map((row) => row[0])))].sort((a, b) => a - b);
    this.drawn.forEach((chart, i) => chart.set(steps, shown.map((name) => values(this.cards[name], CURVES[i], steps))));
  }

  #table(names) {
    const rows = names.map((name, i) => {
      const { live } = this.cards[name];
      const solved = live.headline["solved/unguided"];
      return [
        this.#toggle(name, i),
        h("a", { href: `#/${encodeURIComponent(name)}/overview` }, name),
        live.state,
        `${whole(live.step)} / ${whole(live.max_steps)}`,
        percent(live.recent.unguided),
        percent(live.recent.guided),
        solved === undefined || !live.num_hard ? "–" : percent(solved / live.num_hard),
        live.transfer?.guided_first ? percent(live.transfer.then_unguided / live.transfer.guided_first) : "–",
        rate(live.tokens_per_s ?? live.headline.written_per_s),
        decimal(live.headline.entropy),
        decimal(live.headline.lag_mean, 2),
        live.alerts.length ? String(live.alerts.length) : "",
      ];
    });
    const heads = ["", "run", "state", "step", "unguided", "guided", "solved", "transfer", "tokens/s", "entropy", "lag", "alerts"];
    return table(heads, rows, [3, 4, 5, 6, 7, 8, 9, 10, 11]);
  }

  #toggle(name, i) {
    const onchange = (event) => {
      if (event.target.checked) this.hidden.delete(name);
      else this.hidden.add(name);
      this.#draw();
    };
    const box = h("input", { type: "checkbox", "aria-label": `draw ${name}`, checked: !this.hidden.has(name), onchange });
    box.style.accentColor = series(i);
    return box;
  }
}

/** A column of one run at the steps of all. */
function values({ live, steps: { columns, rows } }, { column, share }, steps) {
  const place = columns.indexOf(column);
  const scale = share ? 1 / (live.num_hard || 1) : 1;
  const known = new Map(place < 0 ? [] : rows.map((row) => [row[0], row[place]]));
  return steps.map((step) => {
    const value = known.get(step);
    return value === undefined || value === null ? null : value * scale;
  });
}
