// The Okabe-Ito palette, which colour-blind readers can tell apart. An arm has the same colour everywhere.

const ARMS = { unguided: "#0072b2", guided: "#e69f00", easy: "#009e73", easier: "#cc79a7" };
const ARMS_DARK = { unguided: "#56a8e0", guided: "#f0b340", easy: "#2fc39a", easier: "#dd94bd" };
const SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a"];
const SERIES_DARK = ["#56a8e0", "#f0834a", "#2fc39a", "#dd94bd", "#f0b340", "#8fd0f5", "#a5a5a5"];

const KEY = "pope-theme";
const media = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
const listeners = new Set();

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : Boolean(media?.matches);
}

export const hasArm = (arm) => arm in ARMS;
export const armColour = (arm) => (isDark() ? ARMS_DARK : ARMS)[arm] ?? series(6);
export const series = (i) => (isDark() ? SERIES_DARK : SERIES)[i % SERIES.length];
export const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** "#0072b2" -> [0, 114, 178] */
export const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
export const faded = (hex, alpha) => `rgba(${rgb(hex).join(", ")}, ${alpha})`;

/** Call the listener when the theme changes. */
export const onTheme = (listener) => listeners.add(listener);

export function startTheme(button) {
  const chosen = stored();
  if (chosen) document.documentElement.dataset.theme = chosen;
  const show = () => {
    button.textContent = isDark() ? "☀" : "☾";
    button.title = isDark() ? "Light" : "Dark";
    for (const listener of listeners) listener();
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    store(document.documentElement.dataset.theme);
    show();
  });
  media?.addEventListener("change", show);
  show();
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is disabled: the system's theme applies
  }
}

function store(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // storage is disabled: the choice lasts until the page is closed
  }
}
