// Series for charts: joined over their steps, smoothed, made fit for a log axis. Pure.

/** Several series over the union of their steps: [steps, values of the first, ...]; null where one has no value. */
export function joined(series) {
  const steps = [...new Set(series.flatMap((each) => each.steps))].sort((a, b) => a - b);
  const place = new Map(steps.map((step, i) => [step, i]));
  const columns = series.map((each) => {
    const column = new Array(steps.length).fill(null);
    each.steps.forEach((step, i) => (column[place.get(step)] = each.values[i]));
    return column;
  });
  return [steps, ...columns];
}

/**
 * Exponential mean over about the last `width` steps: a value `width` steps back weighs 1/e of the newest. The weights
 * sum to 1 from the first value on, so that the beginning is not drawn towards 0. null stays null.
 */
export function smoothed(steps, values, width) {
  if (!width) return values;
  let [sum, weight, last] = [0, 0, null];
  return values.map((value, i) => {
    if (value === null || value === undefined) return null;
    const kept = last === null ? 0 : Math.exp((last - steps[i]) / width);
    last = steps[i];
    sum = kept * sum + value;
    weight = kept * weight + 1;
    return sum / weight;
  });
}

/** The values that a log axis can show; the others become gaps. */
export const positive = (values) => values.map((value) => (value > 0 ? value : null));

/** Charts from names: [{family, group, unit, lines: [{name, line}]}] in the order of the names. */
export function families(names) {
  const found = new Map();
  for (const { name, family, line, group, unit } of names) {
    if (!found.has(family)) found.set(family, { family, group, unit, lines: [] });
    found.get(family).lines.push({ name, line });
  }
  return [...found.values()];
}

/** Whether every word of a search is in a chart's name, its lines, its group or its unit. */
export function matches(chart, search) {
  const text = [chart.family, chart.group, chart.unit, ...chart.lines.map(({ line }) => line)].join(" ").toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
