// Which curves the overview draws, from which columns of the step table.

import { armColour, series } from "./colours.js";
import { decimal, percent, whole } from "./format.js";

const line = (label, column, colour, format, more = {}) => ({ label, column, colour, format, ...more });
const plain = (digits) => (value) => decimal(value, digits);
const FIXED = [
  { title: "Entropy", unit: "nats per token", lines: [line("mean", "entropy", () => series(0), plain(3))] },
  {
    title: "Importance ratio",
    unit: "1 is on-policy",
    max: 1.05,
    lines: [
      line("ESS", "ess", () => series(0), plain(3)),
      line("outside the bounds", "clip_share", () => series(1), percent, { dash: [4, 3] }),
    ],
  },
  {
    title: "Lag of trained tokens",
    unit: "steps",
    lines: [
      line("mean", "lag_mean", () => series(0), plain(2)),
      line("max", "lag_max", () => series(0), plain(0), { dash: [4, 3], width: 1 }),
    ],
  },
  {
    title: "Tokens per second",
    lines: [
      line("written", "written_per_s", () => series(2), whole),
      line("trained, within a step", "trained_per_s", () => series(1), whole, { dash: [4, 3] }),
    ],
  },
  { title: "Utilization of the learner", unit: "model FLOPs over measured peak", lines: [line("MFU", "mfu", () => series(1), percent)] },
  { title: "Weight sync", unit: "longest pause, ms", lines: [line("stall", "stall_ms", () => series(1), plain(0))] },
  {
    title: "Queues",
    lines: [
      line("ring, slots", "ring", () => series(0), plain(0)),
      line("stream, groups", "stream", () => series(1), plain(0), { dash: [4, 3] }),
    ],
  },
  {
    title: "Groups and rollouts",
    max: 1.02,
    lines: [
      line("groups kept", "kept", () => series(2), percent),
      line("rollouts truncated", "cut", () => series(1), percent, { dash: [4, 3] }),
      line("not judged", "unjudged", () => series(3), percent, { dash: [2, 3] }),
    ],
  },
];

/** Specifications of all charts. `arms`: {success, solved, reward, advantage}, the arms each has a column for. */
export function curves(arms, numHard) {
  const byArm = (what, format) => arms[what].map((arm) => line(arm, `${what}/${arm}`, () => armColour(arm), format));
  return [
    { title: "Success of all rollouts", unit: "correct", max: 1.02, lines: byArm("success", percent) },
    { title: "Hard problems solved", unit: "at least once", max: numHard || null, lines: byArm("solved", whole) },
    { title: "Reward of the trained batch", unit: "mean", max: 1.02, lines: byArm("reward", plain(2)) },
    { title: "Shares of the update", unit: "share of |advantage|", max: 1.02, lines: byArm("advantage", percent) },
    ...FIXED,
  ];
}
