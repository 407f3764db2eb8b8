import type { Evaluator } from '../../scheme/evaluator.js';
import { powerDepth, powerFactors } from './plan.js';

/** T_i(x) at the levels where they are wanted; each is made once, on first use. */
export class ChebyshevBasis<C extends object> {
  readonly #ev: Evaluator<C>;
  readonly #top: number;
  readonly #made = new Map<string, C>();

  constructor(ev: Evaluator<C>, x: C) {
    this.#ev = ev;
    this.#top = ev.levelOf(x);
    this.#made.set(`1@${this.#top}`, x);
  }

  /** T_index at `depth` levels below x. */
  at(index: number, depth: number): C {
    const level = this.#top - depth;
    const key = `${index}@${level}`;
    let value = this.#made.get(key);
    if (value === undefined) {
      const own = powerDepth(index);
      value = depth > own ? this.#ev.toLevel(this.at(index, own), level) : this.#compute(index);
      this.#made.set(key, value);
    }
    return value;
  }

  #compute(index: number): C {
    const ev = this.#ev;
    const depth = powerDepth(index);
    const { a, b } = powerFactors(index);
    if (a === b) {
      const square = ev.squareNew(this.at(a, depth - 1));
      return ev.addConstNew(ev.addNew(square, square), -1);
    }
    const product = ev.mulNew(this.at(a, depth - 1), this.at(b, depth - 1));
    return ev.subNew(ev.addNew(product, product), this.at(a - b, depth));
  }
}
