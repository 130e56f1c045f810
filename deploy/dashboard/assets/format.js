// Numbers as text. Pure.

export const NONE = "–";

export const percent = (share) => (share === null || share === undefined ? NONE : `${Math.round(100 * share)}%`);

export const whole = (value) =>
  value === null || value === undefined ? NONE : Math.round(value).toLocaleString("en-US");

export const decimal = (value, digits = 3) => (value === null || value === undefined ? NONE : value.toFixed(digits));

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
