// The data of one run: applies messages, provides columns and cells. Pure, so that it is tested without a page.

export class RunStore {
  constructor() {
    this.clear();
  }

  clear() {
    this.live = null;
    this.rows = new Map(); // step -> {column: value}
    this.steps = []; // ascending
    this.ids = [];
    this.buckets = [];
    this.arms = [];
    this.cells = []; // [problem, arm, step, successes, judged]
    this.facts = []; // problem -> what the heat map sorts by
  }

  /** Apply one message of the server; returns what changed. */
  apply(change) {
    if (change.whole) this.clear();
    this.live = change.live;
    this.#takeSteps(change.steps);
    this.#takeHeat(change.heat);
    return { whole: change.whole, steps: change.steps.rows.length > 0, cells: change.heat.cells.length > 0 };
  }

  /** Values of a column at `this.steps`; null where there is none. */
  column(name) {
    return this.steps.map((step) => this.rows.get(step)[name] ?? null);
  }

  /** Arms that have a column `what/ARM`. */
  armsOf(what) {
    const names = new Set();
    for (const row of this.rows.values()) {
      for (const name of Object.keys(row)) if (name.startsWith(`${what}/`)) names.add(name.slice(what.length + 1));
    }
    return [...names].sort();
  }

  #takeSteps(table) {
    const [, ...columns] = table.columns;
    let inOrder = true;
    for (const [step, ...values] of table.rows) {
      const row = {};
      columns.forEach((column, i) => {
        if (values[i] !== null) row[column] = values[i];
      });
      if (!this.rows.has(step)) {
        inOrder &&= !this.steps.length || step > this.steps.at(-1);
        this.steps.push(step);
      }
      this.rows.set(step, row);
    }
    if (!inOrder) this.steps.sort((a, b) => a - b);
  }

  #takeHeat(heat) {
    this.arms = heat.arms;
    heat.ids.forEach((id, i) => {
      this.ids.push(id);
      this.buckets.push(heat.buckets[i]);
      this.facts.push({ first: {}, newest: {}, groups: 0 });
    });
    for (const cell of heat.cells) {
      const [problem, arm, step, successes, judged] = cell;
      const facts = this.facts[problem];
      const name = this.arms[arm];
      this.cells.push(cell);
      facts.groups += 1;
      if (judged) facts.newest[name] = successes / judged;
      if (successes && facts.first[name] === undefined) facts.first[name] = step;
    }
  }
}

/** Transfer of a problem: solved with it first and then without, with it only, without it first, never. */
export function transferOf(facts) {
  const { guided, unguided } = facts.first;
  if (guided === undefined && unguided === undefined) return "unsolved";
  if (guided !== undefined && (unguided === undefined || guided < unguided)) {
    return unguided === undefined ? "guided only" : "carried over";
  }
  return guided === unguided ? "same step" : "unguided first";
}

const TRANSFER_ORDER = ["carried over", "guided only", "same step", "unguided first", "unsolved"];
const NEVER = Number.MAX_SAFE_INTEGER;

const ORDERS = {
  problem: () => 0,
  bucket: (store, p) => store.buckets[p],
  "first solve": (store, p) => store.facts[p].first.unguided ?? NEVER,
  "first solve guided": (store, p) => store.facts[p].first.guided ?? NEVER,
  "solve rate": (store, p) => store.facts[p].newest.unguided ?? -1,
  transfer: (store, p) => TRANSFER_ORDER.indexOf(transferOf(store.facts[p])),
};
export const ORDER_NAMES = Object.keys(ORDERS);

/** Problem indices sorted by `order`, then by id. */
export function ordered(store, order) {
  const key = store.ids.map((_, p) => ORDERS[order](store, p));
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  return store.ids.map((_, p) => p).sort((a, b) => compare(key[a], key[b]) || compare(store.ids[a], store.ids[b]));
}
