// Where every group went: the balance, and the groups that were not trained by reason, bucket and length.

import { h, put, table } from "./dom.js";
import { series, faded } from "./colours.js";
import { counted, percent, whole } from "./format.js";

/** Colour of each term of the balance: trained groups stand out, filtered ones do not. */
const COLOURS = [2, 6, 4, 3, 1, 0];

const words = (name) => name.replaceAll("_", " ");
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

/** [name, groups, parts] of each term on the right side of the balance. */
export function terms(books) {
  return [
    ["trained", books.trained, {}],
    ["filtered", sum(books.filtered), books.filtered],
    ["replaced", books.replaced, {}],
    ["stale", books.stale, {}],
    ["failed", sum(books.failed), books.failed],
    ["in flight", sum(books.in_flight), books.in_flight],
  ];
}

export class Accounting {
  constructor(store) {
    this.store = store;
    this.element = h("div", { class: "accounting" });
  }

  update() {
    const { books } = this.store.live;
    const key = JSON.stringify(books);
    if (key === this.key) return;
    this.key = key;
    put(this.element, balance(books), totals(books), drops(books.drops));
  }

  recolour() {
    this.key = null;
    if (this.store.live) this.update();
  }

  remove() {}
}

function balance(books) {
  const parts = terms(books);
  const bar = h("div", { class: "balance-bar", role: "img", "aria-label": parts.map(([name, n]) => `${name} ${n}`).join(", ") });
  parts.forEach(([name, count], i) => {
    if (!count) return;
    const part = h("i", { title: `${name}: ${counted(count, "group")}` });
    part.style.flexGrow = count;
    part.style.background = series(COLOURS[i]);
    bar.append(part);
  });
  const conclusion = books.holds
    ? h("span", { class: "good" }, "the balance holds")
    : h("span", { class: "bad" }, "the balance does not hold");
  const equation = `${whole(books.issued)} issued = ${parts.map(([name, n]) => `${whole(n)} ${name}`).join(" + ")}`;
  const rows = parts.map(([name, count, made], i) => [
    swatched(name, i),
    whole(count),
    books.issued ? percent(count / books.issued) : "",
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

function totals(books) {
  const rows = [
    ["groups the feed may issue", books.limit === null ? "no limit" : whole(books.limit)],
    ["groups published", whole(books.totals.published)],
    ["rollouts written", whole(books.totals.rollouts)],
    ["rollouts trained", whole(books.trained_samples)],
    ["completion tokens", whole(books.totals.completion_tokens)],
    ["prompt tokens, counted once a rollout", whole(books.totals.prompt_tokens)],
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
