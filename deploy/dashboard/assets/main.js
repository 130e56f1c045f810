// The address selects what is shown: #/RUN/PAGE, #/RUN/problems/PROBLEM, #/RUN/metrics/OTHER_RUN. One event stream feeds the open page.

import { h, put, setText } from "./dom.js";
import { visible } from "./format.js";
import { onTheme, startTheme } from "./colours.js";
import { RunStore } from "./store.js";
import { Overview } from "./overview.js";
import { Metrics } from "./metrics.js";
import { Problems } from "./problems.js";
import { Accounting } from "./accounting.js";
import { Runs } from "./runs.js";

const PAGES = { overview: "Overview", metrics: "Metrics", problems: "Problems", accounting: "Accounting", runs: "Runs" };
const byId = (id) => document.getElementById(id);
const [frame, choice, nav, state, away] = ["page", "run", "pages", "state", "away"].map(byId);

const store = new RunStore();
let names = [];
let run = null;
let events = null;
let page = null;
let pageName = null;

async function start() {
  startTheme(byId("theme"));
  onTheme(() => page?.recolour());
  names = (await json("/api/runs")) ?? [];
  put(choice, ...names.map((name) => h("option", { value: name }, name)));
  choice.addEventListener("change", () => go(pageName, null, choice.value));
  put(nav, ...Object.entries(PAGES).map(([name, title]) => h("a", { "data-page": name }, title)));
  window.addEventListener("hashchange", follow);
  follow();
}

/** Show what the address selects; what is not there is named, and nothing else is shown in its place. */
function follow() {
  const [, wanted = "", name = "", item = ""] = location.hash.split("/").map(decoded);
  if (wanted && !names.includes(wanted)) return showAbsent("run", wanted);
  if (name === "metrics" && item && !names.includes(item)) return showAbsent("run", item);
  if (name && !Object.hasOwn(PAGES, name)) return showAbsent("page", name);
  const [nextRun, nextPage] = [wanted || names[0], name || "overview"];
  const changed = nextRun !== run;
  if (changed) connect(nextRun);
  if (changed || nextPage !== pageName) open(nextPage);
  if (nextPage === "problems" && item && item !== page.opened) page.show(item);
  if (nextPage === "metrics" && item !== page.opened) page.show(item);
}

function go(name, item = null, to = run) {
  const words = [to, name, item].filter((word) => word !== null);
  location.hash = `#/${words.map(encodeURIComponent).join("/")}`;
}

/** A word of the address; as it is when it is not percent-encoded well. */
function decoded(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

/** Say that the address names a run or a page that is not here, and link to those that are. */
function showAbsent(kind, name) {
  page?.remove();
  events?.close();
  [page, pageName, run, events] = [null, null, null, null];
  choice.selectedIndex = -1;
  showState({ state: "" });
  showNotice("");
  const title = `There is no ${kind} named ${visible(name)} here`;
  const links = names.map((each) => h("li", {}, h("a", { href: `#/${encodeURIComponent(each)}/overview` }, each)));
  put(frame, h("section", { class: "card absent" }, h("h1", {}, title), h("p", {}, "Runs of this dashboard:"), h("ul", {}, ...links)));
  document.title = `${title} · pope`;
  for (const link of nav.children) {
    link.removeAttribute("aria-current");
    link.href = `#/${encodeURIComponent(names[0])}/${link.dataset.page}`;
  }
}

function open(name) {
  page?.remove();
  pageName = name;
  const make = {
    overview: () => new Overview(store, go),
    problems: () => new Problems(store, go, (id) => ofRun(run)(`problem?id=${encodeURIComponent(id)}`)),
    metrics: () => new Metrics(store, { run, others: names.filter((each) => each !== run), fetchOf: ofRun, go }),
    accounting: () => new Accounting(store),
    runs: () => new Runs(() => json("/api/cards"), go),
  };
  page = make[name]();
  put(frame, h("h1", { class: "hidden-title" }, `${PAGES[name]} of ${run}`), page.element);
  document.title = `${PAGES[name]} · ${run} · pope`;
  for (const link of nav.children) {
    link.href = `#/${encodeURIComponent(run)}/${link.dataset.page}`;
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (store.live) page.update({ whole: true, steps: true, cells: true });
}

/** Follow another run. The browser reconnects by itself and then receives the complete state. */
function connect(name) {
  run = name;
  choice.value = name;
  store.clear();
  events?.close();
  events = new EventSource(`/api/runs/${encodeURIComponent(name)}/events`);
  events.onmessage = (event) => {
    const what = store.apply(JSON.parse(event.data));
    showNotice(store.live.state === "away" ? "The run's Redis does not answer. The page shows the last known state." : "");
    showState(store.live);
    page.update(what);
  };
  events.onerror = () => showNotice("The dashboard does not answer. The page shows the last known state and reconnects by itself.");
}

function showState(live) {
  const ended = live.ended && live.state === "ended" ? `: ${live.ended}` : "";
  setText(state, `${live.state}${ended}`);
  state.className = `state ${live.state}`;
}

function showNotice(text) {
  setText(away, text);
  away.hidden = !text;
}

/** Fetches what the server has under the address of a run. */
const ofRun = (name) => (part) => json(`/api/runs/${encodeURIComponent(name)}/${part}`);

/** The answer of the server; null when there is none. */
async function json(address) {
  try {
    const answer = await fetch(address);
    return answer.ok ? await answer.json() : null;
  } catch {
    showNotice("The dashboard does not answer.");
    return null;
  }
}

start();
