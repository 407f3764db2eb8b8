import {
  evaluateChebyshevGuarded,
  evaluateChebyshevProductGuarded,
  type GuardedValue,
} from '@sotto/he/circuits';
import { attentionKindOf, gateKindOf, type LlamaConfig } from '@sotto/model';
import type { Arithmetic } from './arithmetic.js';
import type { Layout } from './layout.js';
import { publicPages } from './layout.js';

/**
 * Watches the arguments of the polynomials of one layer. Every evaluation leaves T_m of its argument, which is within [-1, 1] exactly
 * where the argument is; the sum of their squares over a layer takes one product at the lowest level. A client that sees the sum over
 * all layers above the number of evaluations knows that one of them was outside its window; and where the sum is below, no
 * polynomial of error e inside its window is off by more than e (2 n - 1) for n evaluations.
 *
 * The two inverses of a softmax are not watched. Sums below their windows are frequent and harmless. Above, the rough inverse grows
 * (its degree is even), which cancels, or drives the last inverse far out of its own window and the stream after it.
 */
export class WindowGuard<C extends object> {
  readonly #m: Arithmetic<C>;
  readonly #level: number;
  readonly #guards: C[] = [];

  /** @param level lowest level of a result: the sum comes there. */
  constructor(m: Arithmetic<C>, level: number) {
    this.#m = m;
    this.#level = level;
  }

  /** A polynomial whose argument is watched. */
  polynomial(x: C, coefficients: readonly number[]): C {
    const { ev } = this.#m;
    return this.#watch(() => evaluateChebyshevGuarded(ev, x, coefficients));
  }

  /** A polynomial whose argument is watched, times a factor. */
  product(x: C, factor: C, coefficients: readonly number[]): C {
    const { ev } = this.#m;
    return this.#watch(() => evaluateChebyshevProductGuarded(ev, x, factor, coefficients));
  }

  #watch(evaluate: () => GuardedValue<C>): C {
    const { ev } = this.#m;
    return ev.scope(() => {
      const { value, guard } = evaluate();
      this.#guards.push(ev.keep(ev.copyNew(this.#m.lower(guard, this.#level + 1))));
      return value;
    });
  }

  /** Sum of the squares so far. */
  sum(): C {
    const squares = this.#m.dot(this.#guards, this.#guards);
    this.dispose();
    return squares;
  }

  dispose(): void {
    for (const guard of this.#guards.splice(0)) this.#m.ev.release(guard);
  }
}

/** Evaluations that are watched in a pass behind so many public tokens: the sum over a pass in which no window was left is less. */
export function watchedEvaluations(config: LlamaConfig, layout: Layout, publicTokens: number): number {
  const attention = attentionKindOf(config) === 'softmax' ? publicPages(layout, publicTokens) : 1;
  const feedForward = gateKindOf(config) === 'silu' ? 1 : 0;
  return config.layerCount * (2 + attention + feedForward);
}
