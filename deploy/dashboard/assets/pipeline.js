// The pipeline: its places, the groups that wait in each, and the rate of each arrow.

import { h, put, s, setText } from "./dom.js";
import { ago, counted, rate, whole } from "./format.js";

const WIDE = {
  box: "0 18 942 226",
  size: [116, 54],
  places: { feed: [70, 62], actors: [245, 62], stream: [420, 62], preprocess: [595, 62], ring: [770, 62], learner: [770, 208] },
  arrows: {
    claim: { path: "M128 62 H181", x: 157, y: 50 },
    publish: { path: "M303 62 H356", x: 332, y: 50 },
    read: { path: "M478 62 H531", x: 507, y: 50 },
    put: { path: "M653 62 H706", x: 682, y: 50 },
    train: { path: "M770 89 V175", x: 782, y: 138, anchor: "start" },
    weights: { path: "M712 208 H245 V95", x: 430, y: 200 },
    filter: { path: "M595 89 V130", x: 607, y: 118, anchor: "start", minor: true },
    replace: { path: "M828 62 H872", x: 857, y: 50, minor: true },
  },
  texts: [
    { x: 595, y: 146, text: "filtered" },
    { x: 907, y: 66, text: "replaced" },
    { x: 430, y: 226, text: "new weights, while generation continues" },
  ],
};
/** For a phone: one pixel of the drawing is about one of the screen. */
const TALL = {
  box: "0 8 340 530",
  size: [128, 54],
  places: { feed: [164, 40], actors: [164, 134], stream: [164, 228], preprocess: [164, 322], ring: [164, 416], learner: [164, 510] },
  arrows: {
    claim: { path: "M164 67 V101", x: 174, y: 86, anchor: "start" },
    publish: { path: "M164 161 V195", x: 174, y: 180, anchor: "start" },
    read: { path: "M164 255 V289", x: 174, y: 274, anchor: "start" },
    put: { path: "M164 349 V383", x: 174, y: 368, anchor: "start" },
    train: { path: "M164 443 V477", x: 174, y: 462, anchor: "start" },
    weights: { path: "M228 510 H322 V134 H234", x: 314, y: 316, anchor: "end" },
    filter: { path: "M100 322 H62", x: 80, y: 312, minor: true },
    replace: { path: "M100 416 H62", x: 80, y: 406, minor: true },
  },
  texts: [
    { x: 32, y: 326, text: "filtered" },
    { x: 32, y: 420, text: "replaced" },
    { x: 314, y: 300, text: "new weights", anchor: "end" },
  ],
};
const narrow = globalThis.matchMedia?.("(max-width: 720px)");
const UNITS = { weights: "versions" };

export class Pipeline {
  constructor() {
    this.body = h("div", {});
    this.element = h("section", { class: "card", "aria-label": "Pipeline" }, h("h2", {}, "Pipeline"), this.body);
    this.turn = () => {
      this.#build(narrow?.matches ? TALL : WIDE);
      if (this.live) this.set(this.live);
    };
    narrow?.addEventListener("change", this.turn);
    this.turn();
  }

  remove() {
    narrow?.removeEventListener("change", this.turn);
  }

  #build(layout) {
    this.arrows = {};
    this.places = {};
    const marker = s(
      "marker",
      { id: "tip", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
      s("path", { d: "M0 0 L8 4 L0 8 z", class: "tip" }),
    );
    this.drawing = s("svg", { viewBox: layout.box, role: "img", class: "pipeline" }, s("defs", {}, marker));
    for (const [name, arrow] of Object.entries(layout.arrows)) this.#addArrow(name, arrow);
    for (const [name, at] of Object.entries(layout.places)) this.#addPlace(name, at, layout.size);
    for (const { text, x, y, anchor } of layout.texts) this.drawing.append(s("text", { x, y, class: "sink", "text-anchor": anchor }, text));
    put(this.body, this.drawing);
  }

  set(live) {
    this.live = live;
    const arrows = Object.fromEntries(live.arrows.map((arrow) => [arrow.name, arrow]));
    const queues = Object.fromEntries(live.queues.map((queue) => [queue.name, queue]));
    arrows.read = { ...arrows.put, per_s: sum(arrows.put.per_s, arrows.filter.per_s) };
    for (const [name, parts] of Object.entries(this.arrows)) {
      const { per_s, idle_s, total } = arrows[name];
      const moving = per_s > 0;
      setText(parts.rate, per_s === null ? whole(total) : `${rate(per_s)}/s`);
      setText(parts.idle, moving || idle_s === null || per_s === null ? "" : `${ago(idle_s)} ago`);
      parts.line.classList.toggle("moving", moving);
      if (moving) parts.line.style.animationDuration = `${Math.min(4, Math.max(0.4, 3 / per_s)).toFixed(1)}s`;
    }
    const count = (name) => queues[name].depth;
    const actors = live.roles.filter((role) => role.name.startsWith("actor")).length;
    this.#setPlace("feed", [limitOf(live.books), count("reissue") ? `${whole(count("reissue"))} to issue again` : ""]);
    this.#setPlace("actors", [counted(count("leased"), "group"), actors ? counted(actors, "engine") : ""]);
    this.#setPlace("stream", [counted(count("stream"), "group"), queues.stream.age && `oldest ${queues.stream.age}`]);
    this.#setPlace("preprocess", [`${whole(total(arrows.put) + total(arrows.filter))} done`, ""]);
    this.#setPlace("ring", [`${whole(count("ring"))} of ${live.ring_capacity}`, queues.ring.age && `oldest ${queues.ring.age}`]);
    this.#setPlace("learner", [`step ${whole(live.step)}`, count("taken") ? counted(count("taken"), "group") : "waits"]);
    this.drawing.setAttribute("aria-label", summary(live, queues));
  }

  #addArrow(name, { path, x, y, anchor = "middle", minor = false }) {
    const line = s("path", { d: path, class: minor ? "arrow minor" : "arrow", "marker-end": "url(#tip)" });
    const number = s("text", { x, y, class: "rate", "text-anchor": anchor });
    const idle = s("text", { x, y: y + (anchor === "middle" ? 28 : 15), class: "idle", "text-anchor": anchor });
    this.arrows[name] = { line, rate: number, idle };
    this.drawing.append(line, number, idle, s("title", {}, UNITS[name] ?? "groups"));
  }

  #addPlace(name, [x, y], [width, height]) {
    const [first, second] = [s("text", { x, y: y + 6, class: "depth" }), s("text", { x, y: y + 20, class: "age" })];
    this.places[name] = [first, second];
    this.drawing.append(
      s("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: 9, class: `place at-${name}` }),
      s("text", { x, y: y - 10, class: "place-name" }, name),
      first,
      second,
    );
  }

  #setPlace(name, texts) {
    texts.forEach((text, i) => setText(this.places[name][i], text || ""));
  }
}

const sum = (a, b) => (a === null || b === null ? null : a + b);
const total = (arrow) => arrow.total;
const limitOf = (counts) => (counts.limit === null ? whole(counts.issued) : `${whole(counts.issued)} of ${whole(counts.limit)}`);

function summary(live, queues) {
  const waiting = live.queues.filter((queue) => queue.depth).map((queue) => `${queue.name} ${queue.depth}`);
  return `Groups by place: ${waiting.join(", ") || "none in flight"}. Ring ${queues.ring.depth} of ${live.ring_capacity} slots.`;
}
