// Cells -> pixels. Pure: one pixel is one problem at one step; the browser scales them.

const UNKNOWN = 255; // no group yet
export const MOST_COLUMNS = 1500;

/** Success rates of one arm as a matrix that grows with the run. */
export class Rates {
  constructor() {
    this.width = 64;
    this.height = 0;
    this.last = 0; // highest step seen
    this.values = new Uint8Array(0); // 0..100, or UNKNOWN
    this.taken = 0; // cells read so far
  }

  /** Read the cells of `arm` that came since the last call. */
  take(cells, arm, problems) {
    for (; this.taken < cells.length; this.taken += 1) {
      const [problem, cellArm, step, successes, judged] = cells[this.taken];
      this.#grow(step + 1, Math.max(problems, problem + 1));
      this.last = Math.max(this.last, step);
      if (cellArm === arm && judged) this.values[problem * this.width + step] = Math.round((100 * successes) / judged);
    }
    this.#grow(1, problems);
  }

  at(problem, step) {
    const value = problem < this.height && step < this.width ? this.values[problem * this.width + step] : UNKNOWN;
    return value === UNKNOWN ? null : value / 100;
  }

  /** The newest rate up to a step; null before the first group. */
  upTo(problem, step) {
    for (let i = step; i >= 0; i -= 1) {
      const value = this.at(problem, i);
      if (value !== null) return { step: i, rate: value };
    }
    return null;
  }

  #grow(width, height) {
    if (width <= this.width && height <= this.height) return;
    const newWidth = Math.max(this.width, width > this.width ? 2 ** Math.ceil(Math.log2(width)) : 0);
    const newHeight = Math.max(this.height, height);
    const values = new Uint8Array(newWidth * newHeight).fill(UNKNOWN);
    for (let p = 0; p < this.height; p += 1) {
      values.set(this.values.subarray(p * this.width, (p + 1) * this.width), p * newWidth);
    }
    Object.assign(this, { width: newWidth, height: newHeight, values });
  }
}

/**
 * Paint rows in `order` into 32-bit pixels, steps 0..rates.last; `stride` steps share a pixel, which shows their newest
 * group. Between two groups of a problem its last rate is shown, faded; before the first, nothing.
 * `palette`: Uint32Array of 202 colours: 101 for groups, 101 faded.
 */
export function paint(pixels, rates, order, palette, stride = 1) {
  const { values, width, last } = rates;
  const columns = Math.ceil((last + 1) / stride);
  for (let y = 0; y < order.length; y += 1) {
    const from = order[y] * width;
    let current = UNKNOWN;
    for (let x = 0; x < columns; x += 1) {
      let value = UNKNOWN;
      for (let step = x * stride; step < (x + 1) * stride && step < width; step += 1) {
        if (values[from + step] !== UNKNOWN) value = values[from + step];
      }
      if (value !== UNKNOWN) current = value;
      pixels[y * columns + x] = current === UNKNOWN ? 0 : palette[value === UNKNOWN ? 101 + current : value];
    }
  }
}

/** Steps that share a pixel, so that the map is at most `MOST_COLUMNS` wide. */
export const strideOf = (rates) => Math.ceil((rates.last + 1) / MOST_COLUMNS);

/** Round marks from 0 to `last`, at most `most` of them. */
export function marks(last, most) {
  const steps = [1, 2, 5].flatMap((digit) => [0, 1, 2, 3, 4, 5, 6].map((power) => digit * 10 ** power)).sort((a, b) => a - b);
  const every = steps.find((step) => last / step < most) ?? last + 1;
  return Array.from({ length: Math.floor(last / every) + 1 }, (_, i) => i * every);
}

/** From `low` to `high` ([r, g, b]) in 101 steps, then the same at `faded` of full strength; little-endian RGBA. */
export function palette(low, high, faded = 0.72) {
  const colours = new Uint32Array(202);
  for (let i = 0; i <= 100; i += 1) {
    const [r, g, b] = low.map((from, c) => Math.round(from + ((high[c] - from) * i) / 100));
    colours[i] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    colours[101 + i] = ((Math.round(255 * faded) << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  return colours;
}
