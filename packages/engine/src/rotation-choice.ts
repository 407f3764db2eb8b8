import { embedTokens, type LlamaModel, meanSquare, traceRows } from '@sotto/model';
import type { PrefixContext } from './calibration-texts.js';
import { StreamRotation } from './rotation.js';

/** Rotations that are tried. */
const SEEDS: readonly number[] = [1, 2, 3, 4];
/** Bits by which a rotation must narrow the widest refresh of a pass: below that the weights stay as they are. */
const LEAST_BENEFIT_BITS = 1;
/** Largest to smallest mean square of a window of which all rows were alike: windows have guards. */
const LEAST_RATIO = 1.15;

/** What a rotation does for the refreshes of the residual stream. */
export interface RotationMeasure {
  /** Null for the stream as it is. */
  readonly seed: number | null;
  /**
   * Largest component that a refresh of the stream carries, layer by layer (before either half), where the stream is scaled so that
   * the mean squares of its rows fill a window: 1 is the range of a bootstrapping.
   */
  readonly refreshRange: readonly number[];
}

/** Mean squares and largest components of the rows at one place of the stream. */
class PlaceMeter {
  #low = Number.POSITIVE_INFINITY;
  #high = 0;
  readonly #largest: number[];

  constructor(choices: number) {
    this.#largest = new Array(choices).fill(0);
  }

  see(row: Float64Array, rotations: readonly (StreamRotation | null)[]): void {
    const square = meanSquare(row);
    this.#low = Math.min(this.#low, square);
    this.#high = Math.max(this.#high, square);
    rotations.forEach((rotation, i) => {
      for (const value of rotation?.apply(row) ?? row)
        this.#largest[i] = Math.max(this.#largest[i]!, Math.abs(value));
    });
  }

  range(choice: number, dim: number): number {
    const width = this.#high - Math.min(this.#low, this.#high / LEAST_RATIO);
    return this.#largest[choice]! * Math.sqrt(2 / (dim * width));
  }
}

/**
 * The rotation of the residual stream that narrows its refreshes most, measured on texts; none where the best narrows the widest one
 * by less than a bit. Nothing else depends on it: scores, gates and mean squares are those of the model.
 *
 * @param texts token ids that follow the prefix.
 * @returns all that were measured, the chosen one first.
 */
export function chooseRotation(
  model: LlamaModel,
  prefix: PrefixContext,
  texts: readonly (readonly number[])[],
): RotationMeasure[] {
  const { dim, layerCount } = model.config;
  const rotations = [null, ...SEEDS.map((seed) => new StreamRotation(dim, seed))];
  const places = new Map<string, PlaceMeter>();
  const from = prefix.tokens.length;
  for (const text of texts) {
    traceRows(model, embedTokens(model, text), prefix.cache.fork(), (name, layer, position, values) => {
      if (position < from || layer === layerCount) return;
      if (name !== 'residual' && name !== 'residualMiddle') return;
      const key = `${layer} ${name}`;
      const place = places.get(key) ?? new PlaceMeter(rotations.length);
      places.set(key, place);
      place.see(values, rotations);
    });
  }
  const measures = rotations.map((_, i) => ({
    seed: i === 0 ? null : SEEDS[i - 1]!,
    refreshRange: Array.from({ length: layerCount }, (_, layer) =>
      Math.max(
        ...['residual', 'residualMiddle'].map((name) => places.get(`${layer} ${name}`)?.range(i, dim) ?? 0),
      ),
    ),
  }));
  const widest = ({ refreshRange }: RotationMeasure): number => Math.max(...refreshRange);
  const [plain, ...rotated] = measures;
  const best = rotated.reduce((a, b) => (widest(b) < widest(a) ? b : a));
  const chosen = widest(best) * 2 ** LEAST_BENEFIT_BITS <= widest(plain!) ? best : plain!;
  return [chosen, ...measures.filter((one) => one !== chosen)];
}
