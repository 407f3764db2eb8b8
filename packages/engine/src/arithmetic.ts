import { evaluateChebyshev } from '@sotto/he/circuits';
import type { Evaluator, LinearTransform } from '@sotto/he/scheme';

/** The evaluator with operands brought to a common level first. */
export class Arithmetic<C extends object> {
  readonly ev: Evaluator<C>;

  constructor(ev: Evaluator<C>) {
    this.ev = ev;
  }

  level(a: C): number {
    return this.ev.levelOf(a);
  }

  /** At `level`, or as it is when it is there or below. */
  lower(a: C, level: number): C {
    return this.ev.levelOf(a) > level ? this.ev.toLevel(a, level) : a;
  }

  #meet(a: C, b: C): [C, C] {
    const level = Math.min(this.level(a), this.level(b));
    return [this.lower(a, level), this.lower(b, level)];
  }

  add(a: C, b: C): C {
    return this.ev.addNew(...this.#meet(a, b));
  }

  mul(a: C, b: C): C {
    return this.ev.mulNew(...this.#meet(a, b));
  }

  /** sum_i a[i]*b[i]. 1 level. */
  dot(a: readonly C[], b: readonly C[]): C {
    const level = Math.min(...[...a, ...b].map((x) => this.level(x)));
    const low = (all: readonly C[]): C[] => all.map((x) => this.lower(x, level));
    return this.ev.dotNew(low(a), low(b));
  }

  map(a: C, compile: (level: number) => LinearTransform): C {
    return this.ev.transformNew(a, compile(this.level(a)));
  }

  /** Twice the real part. */
  twiceReal(a: C): C {
    return this.ev.addNew(a, this.ev.conjugateNew(a));
  }

  /** Twice the real and twice the imaginary part, both as real vectors. */
  split(a: C): { real: C; imaginary: C } {
    const conjugate = this.ev.conjugateNew(a);
    return {
      real: this.ev.addNew(a, conjugate),
      imaginary: this.ev.mulINew(this.ev.subNew(conjugate, a)),
    };
  }

  /** a + i b. */
  pack(a: C, b: C): C {
    return this.add(a, this.ev.mulINew(b));
  }

  polynomial(x: C, coefficients: readonly number[]): C {
    return evaluateChebyshev(this.ev, x, coefficients);
  }
}
