// One rollout: the prompt with its guidance marked, the completion token by token. Model output is text, never markup.

import { h, put } from "./dom.js";
import { armColour, faded, isDark, series } from "./colours.js";
import { counted, decimal, visible } from "./format.js";

export const COLOURINGS = [
  ["version", "policy version"],
  ["ratio", "probability ratio"],
  ["logprob", "probability"],
  ["none", "none"],
];

/** `colouring`: one of COLOURINGS. */
export function rolloutView(rollout, colouring) {
  const judged = rollout.reward === null ? "not judged" : `reward ${rollout.reward}`;
  const trained = rollout.trained_step === null ? null : `trained in step ${rollout.trained_step}`;
  const length = rollout.completion_tokens === null ? null : counted(rollout.completion_tokens, "token");
  const arm = h("span", { class: "arm" }, rollout.arm);
  arm.style.color = armColour(rollout.arm);
  const facts = [judged, `weights ${rollout.version}`, length, trained].filter(Boolean).join(" · ");
  return h(
    "article",
    { class: "rollout" },
    h("header", {}, h("span", { class: `verdict ${rollout.verdict}` }, rollout.verdict), arm, h("span", { class: "quiet" }, facts)),
    answers(rollout),
    h("details", {}, h("summary", {}, rollout.guidance ? "prompt, guidance marked" : "prompt"), prompt(rollout)),
    legend(rollout, colouring),
    completion(rollout, colouring),
  );
}

/** What was asked for, what the response claims, and why the verdict follows. */
function answers({ answer, claimed, verdict, reason }) {
  const row = (name, ...values) => h("div", {}, h("dt", {}, name), ...values);
  const value = (text, look = "") => h("dd", { class: look }, h("code", {}, visible(text)));
  const none = (text) => h("dd", { class: "quiet" }, text);
  const look = verdict === "correct" ? "good" : verdict === "wrong" ? "bad" : "";
  const claims = claimed === null ? [none("not recorded")] : claimed.length ? claimed.map((text) => value(text, look)) : [none("none")];
  return h(
    "dl",
    { class: "answers" },
    row("gold answer", answer === null ? none("not recorded") : value(answer)),
    row(claimed?.length > 1 ? "claimed answers" : "claimed answer", ...claims),
    row("why", h("dd", {}, reason)),
  );
}

function prompt(rollout) {
  const marked = rollout.guidance ? h("mark", {}, visible(rollout.guidance)) : null;
  return h("pre", { class: "text" }, visible(rollout.before), marked, visible(rollout.after));
}

function completion(rollout, colouring) {
  const colour = painter(rollout, colouring);
  const tokens = rollout.tokens
    .filter(([text]) => text !== "")
    .map((token) => {
      const element = h("span", { title: words(token) }, visible(token[0]));
      element.style.backgroundColor = colour(token);
      return element;
    });
  return put(h("pre", { class: "text completion" }), ...tokens, visible(rollout.rest));
}

function words([, version, logprob, ratio]) {
  const parts = [
    version === null ? null : `weights ${version}`,
    logprob === null ? null : `p ${decimal(Math.exp(logprob))}`,
    ratio === null ? "ratio unknown" : `ratio ${decimal(ratio, 2)}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** Token -> background colour. */
function painter(rollout, colouring) {
  const strength = isDark() ? 0.42 : 0.28;
  if (colouring === "version") {
    const versions = distinct(rollout);
    return ([, version]) => (version === null ? "" : faded(series(versions.indexOf(version)), strength));
  }
  if (colouring === "logprob") return ([, , logprob]) => (logprob === null ? "" : faded(series(1), 0.75 * (1 - Math.exp(logprob))));
  if (colouring === "ratio") return ([, , , ratio]) => (ratio === null ? "" : faded(series(ratio < 1 ? 0 : 1), ratioStrength(ratio)));
  return () => "";
}

/** 0 at ratio 1, full at a factor of two either way. */
export const ratioStrength = (ratio) => 0.7 * Math.min(1, Math.abs(Math.log2(Math.max(ratio, 1e-6))));

const distinct = (rollout) => [...new Set(rollout.tokens.map(([, version]) => version))].sort((a, b) => a - b);

function legend(rollout, colouring) {
  const key = (colour, text) => {
    const mark = h("i", { class: "dot" });
    mark.style.background = colour;
    return h("span", { class: "key" }, mark, text);
  };
  const keys = [];
  if (colouring === "version") keys.push(...distinct(rollout).filter((v) => v !== null).map((v, i) => key(series(i), `weights ${v}`)));
  if (colouring === "ratio" && rollout.trained_step === null) keys.push(h("span", { class: "quiet" }, "no ratio: not trained yet, or not recorded"));
  else if (colouring === "ratio") keys.push(key(series(0), "less likely now"), key(series(1), "more likely now"));
  if (colouring === "logprob") keys.push(key(series(1), "darker: less likely when sampled"));
  return h("div", { class: "legend" }, ...keys);
}
