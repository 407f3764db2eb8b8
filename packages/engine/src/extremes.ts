/** Chance for one text to leave the expected extreme, see {@link Extremes.expectedHigh}. */
const LEAVE_CHANCE = 1e-5;
const EULER = 0.5772156649015329;
/** Standard deviations from the mean of a Gumbel distribution to where `LEAVE_CHANCE` is left. */
const GUMBEL_REACH = (Math.sqrt(6) / Math.PI) * (-Math.log(LEAVE_CHANCE) - EULER);
/** Fewer texts tell nothing about how extremes scatter. */
const FEWEST_TEXTS = 16;

/** Mean and variance of a stream of numbers. */
class Moments {
  count = 0;
  mean = 0;
  #squares = 0;

  add(value: number): void {
    this.count++;
    const step = value - this.mean;
    this.mean += step / this.count;
    this.#squares += step * (value - this.mean);
  }

  get deviation(): number {
    return Math.sqrt(this.#squares / Math.max(1, this.count - 1));
  }
}

/**
 * Extremes of a quantity over many texts in constant memory: what was seen, and what is to be expected of texts not seen, from how
 * the extremes of single texts scatter (block maxima follow a Gumbel distribution; moment estimate).
 */
export class Extremes {
  low = Number.POSITIVE_INFINITY;
  high = Number.NEGATIVE_INFINITY;
  #textLow = Number.POSITIVE_INFINITY;
  #textHigh = Number.NEGATIVE_INFINITY;
  readonly #lows = new Moments();
  readonly #highs = new Moments();

  see(low: number, high: number): void {
    if (low < this.#textLow) this.#textLow = low;
    if (high > this.#textHigh) this.#textHigh = high;
  }

  /** Between two texts. A text without values is none. */
  endText(): void {
    if (this.#textHigh < this.#textLow) return;
    this.low = Math.min(this.low, this.#textLow);
    this.high = Math.max(this.high, this.#textHigh);
    this.#lows.add(this.#textLow);
    this.#highs.add(this.#textHigh);
    this.#textLow = Number.POSITIVE_INFINITY;
    this.#textHigh = Number.NEGATIVE_INFINITY;
  }

  /** The largest value seen, or what one text in 100,000 exceeds when that is more, but at most `most` and at least `least` more. */
  expectedHigh(least: number, most: number): number {
    const { mean, deviation, count } = this.#highs;
    const reach = count < FEWEST_TEXTS ? most : mean + GUMBEL_REACH * deviation - this.high;
    return this.high + Math.min(most, Math.max(least, reach));
  }

  expectedLow(least: number, most: number): number {
    const { mean, deviation, count } = this.#lows;
    const reach = count < FEWEST_TEXTS ? most : this.low - (mean - GUMBEL_REACH * deviation);
    return this.low - Math.min(most, Math.max(least, reach));
  }
}

/** The smallest numbers of a stream, for low quantiles in constant memory. */
export class SmallestValues {
  readonly #capacity: number;
  #kept: number[] = [];
  #bound = Number.POSITIVE_INFINITY;
  count = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(value: number): void {
    this.count++;
    if (value >= this.#bound) return;
    this.#kept.push(value);
    if (this.#kept.length >= 2 * this.#capacity) this.#cut();
  }

  #cut(): void {
    this.#kept = Array.from(Float64Array.from(this.#kept).sort().subarray(0, this.#capacity));
    this.#bound = this.#kept[this.#kept.length - 1]!;
  }

  /** The value under which the given share of the stream lies; NaN of an empty stream. The share times the count must be kept. */
  quantile(share: number): number {
    const sorted = Float64Array.from(this.#kept).sort();
    return sorted[Math.min(Math.floor(share * this.count), sorted.length - 1)] ?? Number.NaN;
  }
}
