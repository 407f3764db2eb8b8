import { type CkksEvaluator, Plaintext } from '../../ckks/index.js';
import type { Basis, Ptr } from '../../ring/index.js';
import type { SlotVector } from '../../scheme/evaluator.js';

/**
 * Where encoded diagonals live. `stored`: as polynomials, fastest. `compact`: of a diagonal with period p only the 2p distinct
 * values of each row are kept, outside the ring's memory, and written out for every use; at N = 2^16 that saves more than 1 GB for
 * about a tenth of the time.
 */
export type DiagonalStorage = 'stored' | 'compact';

/** Shorter runs are not worth it. */
const LEAST_REPEATS = 8;

/** A diagonal encoded for products, in whatever form. */
export interface Diagonal {
  /** Memory in the ring. */
  readonly sizeBytes: number;
  /** True when {@link at} writes the polynomial to the scratch memory it is given. */
  readonly compact: boolean;
  /** Address of the polynomial in Montgomery form. @param scratch memory for one polynomial. */
  at(scratch: Ptr): Ptr;
  release(): void;
}

interface Target {
  readonly level: number;
  readonly scale: number;
  readonly basis: Basis;
}

/** Encodes one diagonal for products over `target.basis`. */
export function encodeDiagonal(
  ev: CkksEvaluator,
  values: SlotVector,
  target: Target,
  storage: DiagonalStorage,
): Diagonal {
  const { context } = ev;
  const plain = new Plaintext(context, ev.encoder, values, { ...target, purpose: 'product' });
  const repeats = context.n / (2 * values.re.length);
  if (storage === 'stored' || repeats < LEAST_REPEATS) {
    return {
      sizeBytes: plain.sizeBytes,
      compact: false,
      at: () => plain.load().at,
      release: () => plain.release(),
    };
  }
  // A polynomial in X^repeats: in bit-reversed order its values come in runs of equal ones.
  const { ring } = context;
  const words = ring.read(plain.load().at, target.basis.size * context.n);
  const distinct = Uint32Array.from({ length: words.length / repeats }, (_, i) => words[i * repeats]);
  plain.release();
  return {
    sizeBytes: 0,
    compact: true,
    at: (scratch) => {
      const row = new Uint32Array(context.n);
      const perRow = context.n / repeats;
      for (let r = 0; r < target.basis.size; r++) {
        for (let i = 0; i < perRow; i++) row.fill(distinct[r * perRow + i], i * repeats, (i + 1) * repeats);
        ring.write(context.row(scratch, r), row);
      }
      return scratch;
    },
    release: () => {},
  };
}
