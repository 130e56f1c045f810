// The outcomes of all groups: the balance, and the groups that were not trained by reason, bucket and length.

import { h, put, table } from "./dom.js";
import { series, faded } from "./colours.js";
import { counted, percent, whole } from "./format.js";

/** Colour of each term of the balance: trained groups stand out, filtered ones do not. */
const COLOURS = [2, 6, 4, 3, 1, 0];

const words = (name) => name.replaceAll("_", " ");
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

/** [name, groups, parts] of each term on the right side of the balance. */
export function terms(counts) {
  return [
    ["trained", counts.trained, {}],
    ["filtered", sum(counts.filtered), counts.filtered],
    ["replaced", counts.replaced, {}],
    ["stale", counts.stale, {}],
    ["failed", sum(counts.failed), counts.failed],
    ["in flight", sum(counts.in_flight), counts.in_flight],
  ];
}

export class Accounting {
  constructor(store) {
    this.store = store;
    this.element = h("div", { class: "accounting" });
  }

  update() {
    const counts = this.store.live.books;
    const key = JSON.stringify(counts);
    if (key === this.key) return;
    this.key = key;
    put(this.element, balance(counts), totals(counts), drops(counts.drops));
  }

  recolour() {
    this.key = null;
    if (this.store.live) this.update();
  }

  remove() {}
}

function balance(counts) {
  const parts = terms(counts);
  const bar = h("div", { class: "balance-bar", role: "img", "aria-label": parts.map(([name, n]) => `${name} ${n}`).join(", ") });
  parts.forEach(([name, count], i) => {
    if (!count) return;
    const part = h("i", { title: `${name}: ${counted(count, "group")}` });
    part.style.flexGrow = count;
    part.style.background = series(COLOURS[i]);
    bar.append(part);
  });
  const conclusion = counts.holds
    ? h("span", { class: "good" }, "the balance holds")
    : h("span", { class: "bad" }, "the balance does not hold");
  const equation = `${whole(counts.issued)} issued = ${parts.map(([name, n]) => `${whole(n)} ${name}`).join(" + ")}`;
  const rows = parts.map(([name, count, made], i) => [
    swatched(name, i),
    whole(count),
    counts.issued ? percent(count / counts.issued) : "",
    Object.entries(made).filter(([, n]) => n).map(([reason, n]) => `${words(reason)} ${whole(n)}`).join(", "),
  ]);
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Balance ", h("span", { class: "quiet" }, "groups")),
    bar,
    h("p", { class: "equation" }, equation, ": ", conclusion),
    table(["", "groups", "share", "of these"], rows, [1, 2]),
  );
}

function swatched(name, i) {
  const mark = h("i", { class: "dot" });
  mark.style.background = series(COLOURS[i]);
  return h("span", { class: "key" }, mark, name);
}

function totals(counts) {
  const rows = [
    ["groups the feed may issue", counts.limit === null ? "no limit" : whole(counts.limit)],
    ["groups published", whole(counts.totals.published)],
    ["rollouts written", whole(counts.totals.rollouts)],
    ["rollouts trained", whole(counts.trained_samples)],
    ["completion tokens", whole(counts.totals.completion_tokens)],
    ["prompt tokens, counted once per rollout", whole(counts.totals.prompt_tokens)],
  ];
  return h("section", { class: "card" }, h("h2", {}, "Totals"), table(["", "so far"], rows, [1]));
}

/** Reason and bucket by class of length; a darker cell has more groups. */
function drops(rows) {
  const lengths = [...new Set(rows.map((row) => row.longest))].sort((a, b) => a - b);
  const kinds = [...new Set(rows.map((row) => `${row.reason}\n${row.bucket}`))].sort();
  const count = new Map(rows.map((row) => [`${row.reason}\n${row.bucket}\n${row.longest}`, row.groups]));
  const most = Math.max(1, ...rows.map((row) => row.groups));
  const cells = kinds.map((kind) => {
    const [reason, bucket] = kind.split("\n");
    const counts = lengths.map((longest) => count.get(`${kind}\n${longest}`) ?? 0);
    return [words(reason), bucket, ...counts.map((n) => shaded(n, most)), whole(counts.reduce((a, b) => a + b, 0))];
  });
  const heads = ["outcome", "bucket", ...lengths.map((longest) => (longest ? `≤ ${whole(longest)}` : "unknown")), "all"];
  return h(
    "section",
    { class: "card wide" },
    h("h2", {}, "By reason, bucket and length ", h("span", { class: "quiet" }, "groups; length is the mean completion, tokens")),
    rows.length ? table(heads, cells, heads.map((_, i) => i).slice(2)) : h("p", { class: "quiet" }, "no group has ended yet"),
  );
}

function shaded(count, most) {
  const cell = h("span", { class: "shade" }, count ? whole(count) : "");
  cell.style.background = count ? faded(series(0), 0.08 + 0.5 * (count / most)) : "";
  return cell;
}
