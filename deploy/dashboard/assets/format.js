// Numbers as text. Pure.

export const NONE = "–";

export const percent = (share) => (share === null || share === undefined ? NONE : `${Math.round(100 * share)}%`);

export const whole = (value) =>
  value === null || value === undefined ? NONE : Math.round(value).toLocaleString("en-US");

export const decimal = (value, digits = 3) => (value === null || value === undefined ? NONE : value.toFixed(digits));

/** Any number with four significant digits: 0.000123, 12.35, 12,346, 1.2e-7. */
export function number(value) {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  if (size >= 1000) return whole(value);
  if (size && size < 1e-4) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

/** The same for the marks of an axis: 20k, 1.5M. */
export function brief(value) {
  const size = Math.abs(value);
  const [scale, unit] = size >= 1e9 ? [1e9, "G"] : size >= 1e6 ? [1e6, "M"] : size >= 1e4 ? [1e3, "k"] : [1, ""];
  const scaled = Number((value / scale).toPrecision(4));
  return size && size < 1e-3 ? value.toExponential(0) : `${scaled}${unit}`;
}

export const rate = (perSecond) => {
  if (perSecond === null || perSecond === undefined) return NONE;
  return perSecond >= 100 ? whole(perSecond) : perSecond.toFixed(1);
};

/** 3725 -> 1:02:05 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const total = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** How long ago, in the unit that fits. */
export function ago(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 120 ? `${Math.round(seconds)} s` : duration(seconds);
}

export const counted = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Control characters by their codes; tabs and new lines stay. */
export const visible = (text) =>
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) =>
    `\\x${c.codePointAt(0).toString(16).padStart(2, "0")}`,
  );
