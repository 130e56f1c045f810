// A heat map of problems by steps; a click opens the history of a problem and its newest rollouts.

import { choice, h, put, setText, table } from "./dom.js";
import { armColour, isDark, rgb } from "./colours.js";
import { historyChart } from "./history_chart.js";
import { paint, palette, Rates, strideOf } from "./heat.js";
import { HeatFrame } from "./heat_frame.js";
import { ORDER_NAMES, ordered, transferOf } from "./store.js";
import { percent, visible, whole } from "./format.js";
import { COLOURINGS, rolloutView } from "./rollout.js";

const [MIN_ROW, MAX_ROW, WANTED] = [3, 16, 620];
const SHOWN_ROLLOUTS = 4;
const SHOWN_GROUPS = 40;

export class Problems {
  constructor(store, go, fetchProblem) {
    Object.assign(this, { store, go, fetchProblem });
    this.arm = null;
    this.order = "first solve";
    this.colouring = "version";
    this.cursor = { row: 0, step: 0 };
    this.controls = h("div", { class: "controls" });
    this.canvas = h("canvas", {
      tabindex: "0",
      role: "application",
      "aria-label": "Solve rate, problem by step. Arrow keys move, Enter opens a problem.",
      onmousemove: (event) => this.#point(event),
      onmouseleave: () => this.#hint(null),
      onclick: (event) => this.#open(this.#under(event)?.row),
      onkeydown: (event) => this.#key(event),
    });
    this.band = h("div", { class: "band", hidden: true });
    this.tip = h("p", { class: "tip-line", "aria-live": "polite" });
    this.frame = new HeatFrame(this.canvas, this.band);
    this.detail = h("section", { class: "card detail", "aria-label": "Problem", tabindex: "-1" });
    this.empty = h("p", { class: "quiet" }, "No group has been judged yet.");
    const map = h("section", { class: "card heat" }, h("h2", {}, "Problems"), this.controls, this.tip, this.frame.element, this.empty);
    this.element = h("div", { class: "problems" }, map, this.detail);
    put(this.detail, h("p", { class: "quiet" }, "Select a problem to see its history and rollouts."));
    this.#reset();
  }

  update(what) {
    if (what.whole) this.#reset();
    if (this.arm === null && this.store.arms.length) this.#showControls();
    if (what.cells || what.whole || !this.orderRows.length) this.#draw();
    const { live } = this.store;
    const newest = live.rollouts.find((rollout) => rollout.problem === this.opened)?.id;
    if (this.opened && (newest !== this.newest && newest !== undefined)) this.show(this.opened, { quietly: true });
  }

  recolour() {
    this.#draw();
    if (this.page) this.#drawDetail();
  }

  remove() {}

  /** Open one problem. */
  async show(id, { quietly = false } = {}) {
    this.opened = id;
    this.newest = this.store.live?.rollouts.find((rollout) => rollout.problem === id)?.id;
    const page = await this.fetchProblem(id);
    if (page === null || page.id !== this.opened) return;
    this.page = page;
    this.#drawDetail();
    if (!quietly) this.detail.focus({ preventScroll: true });
    this.#mark();
  }

  #reset() {
    this.rates = new Map();
    this.orderRows = [];
  }

  #showControls() {
    this.arm ??= this.store.arms.includes("unguided") ? "unguided" : this.store.arms[0];
    put(
      this.controls,
      choice("arm", "solve rate", this.store.arms.map((arm) => [arm, arm]), this.arm, (arm) => {
        this.arm = arm;
        this.#draw();
      }),
      choice("order", "sort by", ORDER_NAMES.map((name) => [name, name]), this.order, (order) => {
        this.order = order;
        this.#draw();
      }),
    );
  }

  #draw() {
    const { store } = this;
    this.empty.hidden = store.cells.length > 0;
    this.frame.element.hidden = !store.cells.length;
    if (!store.cells.length) return;
    if (this.controls.querySelectorAll("input[name=arm]").length !== store.arms.length) this.#showControls();
    const rates = this.#ratesOf(this.arm);
    this.orderRows = ordered(store, this.order);
    this.stride = strideOf(rates);
    this.steps = rates.last + 1;
    const [columns, rows] = [Math.ceil(this.steps / this.stride), this.orderRows.length];
    this.rowHeight = Math.max(MIN_ROW, Math.min(MAX_ROW, Math.floor(WANTED / rows)));
    if (this.canvas.width !== columns) this.canvas.width = columns;
    if (this.canvas.height !== rows) this.canvas.height = rows;
    this.canvas.style.height = `${rows * this.rowHeight}px`;
    const image = new ImageData(columns, rows);
    const [low, high] = [isDark() ? [52, 56, 62] : [226, 224, 218], rgb(armColour(this.arm))];
    paint(new Uint32Array(image.data.buffer), rates, this.orderRows, palette(low, high), this.stride);
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    const [lowest, highest] = [low, high].map((colour) => `rgb(${colour.join(" ")})`);
    this.frame.set({ rows, rowHeight: this.rowHeight, steps: this.steps, order: this.order, low: lowest, high: highest });
    this.#mark();
    if (!this.tip.textContent) this.#hint(null);
  }

  #ratesOf(arm) {
    if (!this.rates.has(arm)) this.rates.set(arm, new Rates());
    const rates = this.rates.get(arm);
    rates.take(this.store.cells, this.store.arms.indexOf(arm), this.store.ids.length);
    return rates;
  }

  #under(event) {
    const box = this.canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.canvas.height);
    const step = Math.floor(((event.clientX - box.left) / box.width) * this.steps);
    return row >= 0 && row < this.orderRows.length && step >= 0 ? { row, step } : null;
  }

  #point(event) {
    this.#hint(this.#under(event));
  }

  #hint(place) {
    if (!place) {
      const { guided_first, then_unguided } = this.store.live?.transfer ?? {};
      const carried = guided_first ? ` · ${then_unguided} of ${guided_first} solved guided first were then solved without` : "";
      setText(this.tip, `${whole(this.store.ids.length)} problems × ${whole(this.steps)} steps${carried}`);
      return;
    }
    const problem = this.orderRows[place.row];
    const known = this.#ratesOf(this.arm).upTo(problem, place.step);
    const rate = known ? `${percent(known.rate)} correct at step ${known.step}` : "not tried yet";
    const facts = this.store.facts[problem];
    setText(this.tip, `${visible(this.store.ids[problem])} · ${this.store.buckets[problem]} · ${this.arm} ${rate} · ${transferOf(facts)}`);
  }

  #key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-10, 0], PageDown: [10, 0] };
    const move = moves[event.key];
    if (move) {
      const clamp = (value, end) => Math.max(0, Math.min(end - 1, value));
      this.cursor = {
        row: clamp(this.cursor.row + move[0], this.orderRows.length),
        step: clamp(this.cursor.step + move[1], this.steps),
      };
      this.#mark(this.cursor.row);
      this.#hint(this.cursor);
    } else if (event.key === "Enter") this.#open(this.cursor.row);
    else return;
    event.preventDefault();
  }

  #open(row) {
    if (row !== undefined && row < this.orderRows.length) {
      this.cursor.row = row;
      this.go("problems", this.store.ids[this.orderRows[row]]);
    }
  }

  /** A band over one row: the one given, else the open problem's. */
  #mark(row = this.orderRows.findIndex((problem) => this.store.ids[problem] === this.opened)) {
    this.band.hidden = row < 0;
    this.band.style.top = `${row * this.rowHeight}px`;
    this.band.style.height = `${this.rowHeight}px`;
  }

  #drawDetail() {
    const { id, history, rollouts } = this.page;
    if (!history.length && !rollouts.length) {
      const title = `No group of a problem named ${visible(id)} has ended in this run`;
      put(this.detail, h("h2", {}, title), h("p", { class: "quiet" }, "Select a problem in the map."));
      return;
    }
    const shown = rollouts.slice(0, SHOWN_ROLLOUTS);
    const colouring = choice("colouring", "colour tokens by", COLOURINGS, this.colouring, (value) => {
      this.colouring = value;
      this.#drawDetail();
    });
    const groups = [...history].reverse().slice(0, SHOWN_GROUPS);
    const rows = groups.map((g) => [whole(g.step), g.arm, `${g.successes} / ${g.judged}`, g.outcome.replaceAll("_", " "), whole(g.tokens / g.rollouts), g.cut ? whole(g.cut) : ""]);
    put(
      this.detail,
      h("h2", {}, visible(id)),
      historyChart(history),
      h("h3", {}, `Rollouts${rollouts.length > shown.length ? `, newest ${shown.length} of ${rollouts.length}` : ""}`),
      rollouts.length ? colouring : h("p", { class: "quiet" }, "None of the newest samples is of this problem; actors keep one every few seconds."),
      ...shown.map((rollout) => rolloutView(rollout, this.colouring)),
      h("h3", {}, `Groups${history.length > groups.length ? `, newest ${groups.length} of ${history.length}` : ""}`),
      table(["step", "arm", "correct", "outcome", "tokens", "cut off"], rows, [0, 2, 4, 5]),
    );
  }
}
