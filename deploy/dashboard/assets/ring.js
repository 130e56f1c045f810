// The ring buffer: one arc per slot, coloured by arm, paler with lag.

import { h, put, s, setText } from "./dom.js";
import { armColour, faded } from "./colours.js";
import { counted } from "./format.js";

const [CENTRE, OUTER, INNER] = [110, 104, 74];
const PALEST = 0.25;
const PALE_STEPS = 8; // lag from which a slot is palest

export class Ring {
  constructor() {
    this.capacity = 0;
    this.arcs = [];
    this.drawing = s("svg", { viewBox: "0 0 220 220", role: "img", class: "ring" });
    this.count = s("text", { x: CENTRE, y: CENTRE - 2, class: "ring-count" });
    this.age = s("text", { x: CENTRE, y: CENTRE + 20, class: "ring-age" });
    this.legend = h("div", { class: "legend" });
    this.element = h(
      "section",
      { class: "card ring-card", "aria-label": "Ring" },
      h("h2", {}, "Ring"),
      this.drawing,
      this.legend,
    );
  }

  set(live) {
    if (live.ring_capacity !== this.capacity) this.#build(live.ring_capacity);
    const slots = place(live.ring, this.capacity);
    let used = 0;
    this.arcs.forEach((arc, i) => {
      const group = slots[i];
      const fill = group ? faded(armColour(group.arm), strength(group.lag)) : "";
      if (arc.fill !== fill) arc.element.setAttribute("fill", (arc.fill = fill) || "var(--empty)");
      const title = group ? `${group.problem} · ${group.arm} · ${counted(group.lag, "step")} old` : "free";
      setText(arc.title, title);
      used += Boolean(group);
    });
    const oldest = Math.max(...live.ring.map((group) => group.lag), 0);
    setText(this.count, `${used} / ${this.capacity}`);
    setText(this.age, live.ring.length ? `oldest ${counted(oldest, "step")}` : "empty");
    const arms = [...new Set(live.ring.map((group) => group.arm))].sort();
    const share = (arm) => live.ring.filter((g) => g.arm === arm).reduce((n, g) => n + g.samples, 0);
    this.drawing.setAttribute("aria-label", `${used} of ${this.capacity} slots: ${arms.map((a) => `${share(a)} ${a}`).join(", ")}`);
    put(this.legend, ...arms.map((arm) => h("span", { class: "key" }, dot(arm), `${arm} `, h("b", {}, String(share(arm))))));
  }

  #build(capacity) {
    this.capacity = capacity;
    this.arcs = Array.from({ length: capacity }, (_, i) => {
      const title = s("title", {});
      return { element: s("path", { d: arc(i, capacity), fill: "var(--empty)" }, title), title, fill: "" };
    });
    put(this.drawing, ...this.arcs.map((a) => a.element), this.count, this.age);
  }
}

/**
 * The group in each slot, or null. A group keeps its slots while it waits: they start at its arrival number times its
 * samples, modulo the capacity, and skip occupied ones.
 */
export function place(ring, capacity) {
  const slots = new Array(capacity).fill(null);
  for (const group of ring) {
    let slot = (group.arrival * group.samples) % capacity;
    for (let left = group.samples, tries = capacity; left > 0 && tries > 0; tries -= 1) {
      if (slots[slot] === null) {
        slots[slot] = group;
        left -= 1;
      }
      slot = (slot + 1) % capacity;
    }
  }
  return slots;
}

const strength = (lag) => 1 - (1 - PALEST) * Math.min(1, Math.max(0, lag) / PALE_STEPS);

function arc(i, capacity) {
  const gap = Math.min(0.012, 0.8 / capacity);
  const [from, to] = [i, i + 1].map((n) => (2 * Math.PI * n) / capacity - Math.PI / 2);
  const at = (radius, angle) => `${(CENTRE + radius * Math.cos(angle)).toFixed(2)} ${(CENTRE + radius * Math.sin(angle)).toFixed(2)}`;
  return (
    `M${at(OUTER, from + gap)} A${OUTER} ${OUTER} 0 0 1 ${at(OUTER, to - gap)} ` +
    `L${at(INNER, to - gap)} A${INNER} ${INNER} 0 0 0 ${at(INNER, from + gap)} Z`
  );
}

function dot(arm) {
  const mark = h("i", { class: "dot" });
  mark.style.background = armColour(arm);
  return mark;
}
