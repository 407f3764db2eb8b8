import type { LinearMap } from '@sotto/engine';
import type { DiagonalMatrix, LinearTransform, SlotVector, TransformOptions } from '@sotto/he/scheme';

/** Maps of a kind that are really built; the second one is as fast as the code gets. */
const BUILT = 2;

interface Kind {
  built: number;
  period: number;
  secondsPerDiagonal: number;
}

/**
 * Compiles linear maps without their values: the same plaintexts, all zero, at the same places. Of maps that differ in their values
 * only (the same map of several layers), the first two are built and timed, and each further one counts as much as the second.
 */
export class CountedMaps {
  /** Processor time of building that was counted and not spent, since it was last taken. */
  #seconds = 0;
  readonly #kinds = new Map<string, Kind>();
  readonly #zeros = new Map<number, SlotVector>();
  readonly #compile: (matrix: DiagonalMatrix, options: TransformOptions) => LinearTransform;

  constructor(compile: (matrix: DiagonalMatrix, options: TransformOptions) => LinearTransform) {
    this.#compile = compile;
  }

  compile(map: LinearMap, options: TransformOptions): LinearTransform {
    const name = `${map.name.replace(/[0-9]+/g, '#')} ${map.diagonals.length}`;
    const kind = this.#kinds.get(name) ?? { built: 0, period: 1, secondsPerDiagonal: 0 };
    this.#kinds.set(name, kind);
    if (kind.built < BUILT) {
      const cpu = process.cpuUsage();
      const { diagonals } = map.build();
      const { user, system } = process.cpuUsage(cpu);
      kind.built++;
      kind.secondsPerDiagonal = (user + system) / 1e6 / Math.max(1, diagonals.size);
      kind.period = Math.max(...[...diagonals.values()].map(({ re }) => re.length));
    } else {
      this.#seconds += kind.secondsPerDiagonal * map.diagonals.length;
    }
    const zero = this.#zero(kind.period);
    return this.#compile({ diagonals: new Map(map.diagonals.map((k) => [k, zero])) }, options);
  }

  /** Processor time that building would have taken beyond what it took, since the last call. */
  takeSeconds(): number {
    const seconds = this.#seconds;
    this.#seconds = 0;
    return seconds;
  }

  #zero(length: number): SlotVector {
    let zero = this.#zeros.get(length);
    if (zero === undefined) {
      zero = { re: new Float64Array(length), im: null };
      this.#zeros.set(length, zero);
    }
    return zero;
  }
}
