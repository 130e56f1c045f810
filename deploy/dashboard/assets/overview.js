// The first page: learning curves, transfer, the pipeline with its queues, roles, and the newest rollouts.

import { h, put, setText, table } from "./dom.js";
import { armColour } from "./colours.js";
import { ago, decimal, duration, percent, rate, visible, whole } from "./format.js";
import { Chart } from "./charts.js";
import { ViewControls } from "./chart_view.js";
import { curves } from "./curves.js";
import { Pipeline } from "./pipeline.js";
import { Ring } from "./ring.js";
import { Watchdogs } from "./watchdogs.js";

export class Overview {
  constructor(store, go) {
    Object.assign(this, { store, go });
    this.watchdogs = new Watchdogs();
    this.facts = h("section", { class: "facts", "aria-label": "At a glance" });
    this.alerts = h("section", { class: "alerts", "aria-label": "Alerts", "aria-live": "polite" });
    this.bottleneck = h("section", { class: "bottleneck", "aria-label": "Bottleneck", "aria-live": "polite" });
    this.pipeline = new Pipeline();
    this.ring = new Ring();
    this.controls = new ViewControls();
    this.charts = h("div", { class: "charts" });
    this.lags = h("section", { class: "card", "aria-label": "Lag histogram" });
    this.roles = h("section", { class: "card", "aria-label": "Roles" });
    this.times = h("section", { class: "card wide", "aria-label": "Where the time goes" });
    this.events = h("section", { class: "card", "aria-label": "Events" });
    this.rollouts = h("section", { class: "card wide", "aria-label": "Newest rollouts" });
    this.element = h(
      "div",
      { class: "overview" },
      this.watchdogs.element,
      this.facts,
      this.alerts,
      this.bottleneck,
      h("div", { class: "two" }, this.pipeline.element, this.ring.element),
      this.controls.element,
      this.charts,
      h("div", { class: "three" }, this.lags, this.roles, this.events),
      this.times,
      this.rollouts,
    );
    this.drawn = [];
    this.arms = "";
  }

  update(what) {
    const { live } = this.store;
    this.watchdogs.set(live);
    this.#showFacts(live);
    this.#showAlerts(live);
    setText(this.bottleneck, live.bottleneck ?? "");
    this.pipeline.set(live);
    this.ring.set(live);
    this.#showRoles(live);
    this.#showOnce("rollouts", live.rollouts, () => this.#rolloutRows(live));
    this.#showOnce("times", [live.times_described, live.memory_mib], () => timeRows(live));
    this.#showOnce("events", live.events, () => eventRows(live));
    this.#showOnce("lags", live.lags, () => lagBars(live.lags));
    if (what.steps || what.whole || !this.drawn.length) this.#showCharts();
  }

  recolour() {
    if (this.store.live) this.ring.set(this.store.live);
  }

  remove() {
    this.controls.remove();
    this.pipeline.remove();
    this.drawn.forEach((chart) => chart.remove());
  }

  #showFacts(live) {
    const arms = Object.keys(live.recent).sort();
    const solved = (arm) => live.headline[`solved/${arm}`];
    const facts = [
      ["step", `${whole(live.step)} / ${whole(live.max_steps)}`, live.eta_s === null ? "" : `${duration(live.eta_s)} left`],
      ...arms.map((arm) => [`success ${arm}`, percent(live.recent[arm]), "newest groups", armColour(arm)]),
      ...arms
        .filter((arm) => solved(arm) !== undefined && live.num_hard)
        .map((arm) => [`solved ${arm}`, percent(solved(arm) / live.num_hard), `of ${whole(live.num_hard)} hard`, armColour(arm)]),
    ];
    if (live.transfer) {
      const { guided_first: first, then_unguided: then } = live.transfer;
      facts.push(["transfer", first ? percent(then / first) : "–", `${then} of ${first} problems`]);
    }
    facts.push(
      ["tokens / s", rate(live.tokens_per_s ?? live.headline.written_per_s), "written"],
      ["entropy", decimal(live.headline.entropy), "nats per token"],
      ["lag", decimal(live.headline.lag_mean, 2), "steps, mean"],
    );
    if (this.facts.childElementCount !== facts.length) {
      put(this.facts, ...facts.map(() => h("div", { class: "fact" }, h("span", {}), h("b", {}), h("small", {}))));
    }
    facts.forEach(([name, value, detail, colour], i) => {
      const [label, number, small] = this.facts.children[i].children;
      setText(label, name);
      setText(number, value);
      setText(small, detail);
      number.style.color = colour ?? "";
    });
  }

  #showAlerts(live) {
    const key = JSON.stringify(live.alerts.map((alert) => [alert.level, alert.title, alert.remedy]));
    if (this.alertKey !== key) {
      this.alertKey = key;
      put(this.alerts, ...live.alerts.map(alertBox));
    }
    live.alerts.forEach((alert, i) => setText(this.alerts.children[i].querySelector(".detail"), visible(alert.detail)));
  }

  #showCharts() {
    const { store } = this;
    const arms = Object.fromEntries(["success", "solved", "reward", "advantage"].map((what) => [what, store.armsOf(what)]));
    if (JSON.stringify(arms) !== this.arms) {
      this.arms = JSON.stringify(arms);
      this.drawn.forEach((chart) => chart.remove());
      this.specs = curves(arms, store.live.num_hard);
      this.drawn = this.specs.map((spec) => new Chart(spec));
      put(this.charts, ...this.drawn.map((chart) => chart.element));
    }
    this.drawn.forEach((chart, i) => chart.set(store.steps, this.specs[i].lines.map((l) => store.column(l.column))));
  }

  #showRoles(live) {
    if (this.roles.dataset.names !== live.roles.map((role) => role.name).join()) {
      this.roles.dataset.names = live.roles.map((role) => role.name).join();
      const rows = live.roles.map((role) => [role.name, ...Array.from({ length: 4 }, () => h("span", {}))]);
      this.roleCells = rows;
      put(this.roles, h("h2", {}, "Roles"), rows.length ? table(["role", "health", "status", "weights", "last heartbeat"], rows, [3, 4]) : quiet("none yet"));
    }
    live.roles.forEach((role, i) => {
      const [, health, does, weights, beat] = this.roleCells[i];
      setText(health, role.health);
      health.className = role.health === "dead" || role.health === "suspect" ? "bad" : "";
      setText(does, visible(role.status));
      setText(weights, role.version === null ? "" : whole(role.version));
      setText(beat, `${ago(role.silence_s)} ago`);
      beat.className = role.late ? "bad" : "";
    });
  }

  /** Redraw a part only when its data changed. */
  #showOnce(name, data, rows) {
    const key = JSON.stringify(data);
    if (this[`${name}Key`] === key) return;
    this[`${name}Key`] = key;
    put(this[name], ...rows());
  }

  #rolloutRows(live) {
    const rows = live.rollouts.map((rollout) =>
      h(
        "button",
        { type: "button", class: "rollout-line", onclick: () => this.go("problems", rollout.problem) },
        h("span", { class: `verdict ${rollout.verdict}` }, rollout.verdict),
        h("span", { class: "arm" }, rollout.arm),
        h("span", { class: "quiet" }, visible(rollout.problem)),
        h("span", { class: "snippet" }, visible(rollout.text)),
      ),
    );
    return [h("h2", {}, "Newest rollouts"), ...(rows.length ? rows : [quiet("no rollout yet")])];
  }
}

const quiet = (text) => h("p", { class: "quiet" }, text);

function alertBox(alert) {
  return h(
    "div",
    { class: `alert ${alert.level}` },
    h("b", {}, visible(alert.title)),
    h("span", { class: "detail" }),
    h("span", { class: "remedy" }, visible(alert.remedy)),
  );
}

function eventRows(live) {
  const rows = live.events.map((event) => [`${duration(live.now_s - event.at_s)} ago`, visible(event.text)]);
  return [h("h2", {}, "Events"), rows.length ? table(["when", "what"], rows) : quiet("no events")];
}

function timeRows(live) {
  const rows = Object.entries(live.times_described).map(([kind, line]) => [kind, line]);
  const memory = Object.entries(live.memory_mib).map(([role, mib]) => `${role} ${whole(mib)} MiB`);
  return [
    h("h2", {}, "Where the time goes ", h("span", { class: "quiet" }, "newest minute")),
    rows.length ? table(["role", "share of its time"], rows) : quiet("no report yet"),
    quiet(memory.length ? `memory: ${memory.join(", ")}` : ""),
  ];
}

function lagBars(lags) {
  const total = lags.reduce((sum, [, count]) => sum + count, 0);
  const most = Math.max(1, ...lags.map(([, count]) => count));
  const bars = lags.map(([age, count]) => {
    const bar = h("i", { class: "bar" });
    bar.style.width = `${(100 * count) / most}%`;
    return h("div", { class: "bar-row" }, h("span", {}, String(age)), h("div", {}, bar), h("span", { class: "quiet" }, percent(count / total)));
  });
  const title = h("h2", {}, "Lag of the newest step's tokens ", h("span", { class: "quiet" }, "steps"));
  return [title, ...(bars.length ? bars : [quiet("no step yet")])];
}
