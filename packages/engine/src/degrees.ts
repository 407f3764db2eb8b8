import { SottoError } from '@sotto/base';
import { isPlainLlama, type LlamaConfig } from '@sotto/model';
import { type Calibration, type LayerCalibration, softmaxLayer } from './calibration.js';
import { chooseOwnCuts } from './own-cuts.js';
import {
  type Degrees,
  defaultDegrees,
  expPolynomial,
  inverseError,
  type LayerPolynomials,
  layerPolynomials,
  normPolynomial,
  type PolynomialErrors,
  siluPolynomial,
  squareWindow,
  sumWindow,
} from './polynomials.js';
import {
  type CutName,
  chooseCuts,
  cutChoices,
  cutNames,
  kindsOf,
  layerDepths,
  pagedCuts,
  passStretches,
  refreshesOf,
  stretchDepths,
} from './schedule.js';

/** The functions of a layer whose degree is chosen, in the order of the circuit, with the cut before which each is evaluated. */
const chosenBefore = {
  norm: 'score',
  exp: 'root',
  inverse: 'normalised',
  lastInverse: 'middle',
  feedForwardNorm: 'gate',
  silu: 'silu',
} as const satisfies Partial<Record<keyof Degrees, CutName>>;
type Chosen = keyof typeof chosenBefore;
const chosenNames = Object.keys(chosenBefore) as Chosen[];

const options: Readonly<Record<Chosen, readonly number[]>> = {
  norm: [7, 15, 31, 63],
  exp: [7, 15, 31],
  // Even: then the inverse does not change its sign above the window.
  inverse: [30, 62, 126, 254, 510],
  lastInverse: [15, 31, 63, 127, 255],
  feedForwardNorm: [7, 15, 31, 63],
  silu: [7, 15, 23, 31, 63, 127],
};
const squaringOptions = [3, 2, 4];

/** Errors below these do not show in the logits: a smaller one is worth no level and no product. */
const targets: Readonly<Record<Chosen, number>> = {
  norm: 1e-4,
  exp: 1e-4,
  inverse: 0.2,
  lastInverse: 1e-5,
  feedForwardNorm: 1e-4,
  silu: 1e-3,
};

/** SiLU's error is nearly all of that of the logits: levels that a stretch has left go into it until it is this small. */
const FINE_SILU = 1e-4;

/** Largest errors with which the approximated model still is the model. */
const limits: Readonly<Record<Chosen | keyof PolynomialErrors, number>> = {
  norm: 0.01,
  exp: 0.02,
  inverse: 0.9,
  lastInverse: 0.02,
  feedForwardNorm: 0.01,
  silu: 0.02,
  head: 0.01,
  rowInverse: 0.01,
};

/** With kernel attention or a bilinear gate the fourth power is exact, and the norms are what can be better or worse: best first. */
const kernelChoices: readonly Degrees[] = [
  { ...defaultDegrees, head: 31, rowInverse: 15 },
  { ...defaultDegrees, head: 15, rowInverse: 15 },
  { ...defaultDegrees, head: 15, rowInverse: 7 },
  { ...defaultDegrees, norm: 7, feedForwardNorm: 7, head: 15, rowInverse: 7 },
  { ...defaultDegrees, norm: 7, feedForwardNorm: 7, head: 7, rowInverse: 7 },
];

/** Bits by which the worst layer of a choice of cuts may miss its targets more than that of the best choice. */
const TOLERATED_BITS = 1;

/** Two pages of scores that share a refresh are taken apart by a product: without a level for it each page has a refresh of its own. */
const UNPACKING_LEVELS = 1;

/** Bits by which a layer may miss its targets more for the sake of that level. */
const TOLERATED_SHARING_BITS = 6;

/** Products of two ciphertexts that a polynomial takes, roughly: baby steps and giant steps. */
const productsOf = (degree: number): number => 2 * Math.sqrt(degree) + Math.log2(degree);

/** Errors of the polynomials of one layer by degree, each computed when it is asked for. */
class LayerErrors {
  readonly #known = new Map<string, number>();
  readonly #layer: LayerCalibration;
  readonly #config: LlamaConfig;

  constructor(layer: LayerCalibration, config: LlamaConfig) {
    this.#layer = layer;
    this.#config = config;
  }

  of(name: Chosen, degrees: Degrees): number {
    const depends = name === 'exp' ? degrees.squarings : name === 'lastInverse' ? degrees.inverse : 0;
    const key = `${name} ${degrees[name]} ${depends}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const error = this.#compute(name, degrees);
    this.#known.set(key, error);
    return error;
  }

  #compute(name: Chosen, degrees: Degrees): number {
    const c = this.#layer;
    switch (name) {
      case 'norm':
        return normPolynomial(c.attentionMeanSquare, this.#config, degrees.norm, -0.5).error;
      case 'feedForwardNorm':
        return normPolynomial(c.feedForwardMeanSquare, this.#config, degrees.feedForwardNorm, -0.5).error;
      case 'exp':
        return expPolynomial(c, degrees.exp, degrees.squarings).error;
      case 'silu':
        return siluPolynomial(c.gate, degrees.silu).error;
      case 'inverse':
        return inverseError(sumWindow(c), degrees.inverse);
      case 'lastInverse':
        return inverseError(squareWindow(c, this.of('inverse', degrees)), degrees.lastInverse) ** 2;
    }
  }
}

/** How good a choice for one layer is: bits by which errors miss their targets, then products. */
export interface Rated {
  readonly degrees: Degrees;
  readonly missedBits: number;
  readonly products: number;
  /** The first function beyond its limit. */
  readonly beyond: Chosen | null;
}

const better = (a: Rated, b: Rated): Rated =>
  b.missedBits < a.missedBits - 1e-9 || (b.missedBits < a.missedBits + 1e-9 && b.products < a.products)
    ? b
    : a;

function rate(errors: LayerErrors, degrees: Degrees, names: readonly Chosen[]): Rated {
  let missedBits = 0;
  let products = degrees.squarings;
  let beyond: Chosen | null = null;
  for (const name of names) {
    const error = errors.of(name, degrees);
    missedBits += Math.max(0, Math.log2(error / targets[name]));
    products += productsOf(degrees[name]);
    if (!(error <= limits[name])) beyond ??= name;
  }
  return { degrees, missedBits, products, beyond };
}

/** Settings of one stretch: every degree up to the first that reaches its target. */
function* settings(errors: LayerErrors, degrees: Degrees, names: readonly Chosen[]): Generator<Degrees> {
  const [name, ...rest] = names;
  if (name === undefined) {
    yield degrees;
    return;
  }
  for (const degree of options[name]) {
    const next = { ...degrees, [name]: degree };
    yield* settings(errors, next, rest);
    if (errors.of(name, next) <= targets[name]) return;
  }
}

/**
 * The best degrees of a layer between given cuts, or null when even the lowest ones do not fit.
 *
 * @param cuts `start` first.
 * @param head levels for the first stretch; `usable` when absent.
 * @param spare levels that a stretch behind pages of scores leaves unused.
 */
function chooseForLayer(
  errors: LayerErrors,
  cuts: readonly CutName[],
  usable: number,
  head = usable,
  spare = 0,
): Rated | null {
  const stretchOf = (name: Chosen): number => {
    const place = cutNames.indexOf(chosenBefore[name]);
    // The last cut that lies before the place.
    return cuts.reduce((found, cut, i) => (cutNames.indexOf(cut) < place ? i : found), 0);
  };
  let best: Rated | null = null;
  for (const squarings of squaringOptions) {
    const lowest = Object.fromEntries(chosenNames.map((name) => [name, options[name][0]!]));
    let degrees: Degrees = { ...defaultDegrees, ...lowest, squarings };
    let fits = true;
    cuts.forEach((cut, stretch) => {
      const names = chosenNames.filter((name) => stretchOf(name) === stretch);
      let chosen: Rated | null = null;
      for (const setting of settings(errors, degrees, names)) {
        const most = stretch === 0 ? head : usable - (pagedCuts.includes(cut) ? spare : 0);
        if (stretchDepths(layerDepths(setting), cuts)[cut]! > most) continue;
        const rated = rate(errors, setting, names);
        chosen = chosen === null ? rated : better(chosen, rated);
      }
      if (chosen === null) fits = false;
      else degrees = chosen.degrees;
    });
    if (!fits) continue;
    const rated = rate(errors, degrees, chosenNames);
    best = best === null ? rated : better(best, rated);
  }
  return best;
}

/** Refresh points, degrees and polynomials of every layer. */
export interface DegreeChoice {
  readonly cuts: readonly (readonly CutName[])[];
  readonly degrees: readonly Degrees[];
  readonly polynomials: readonly LayerPolynomials[];
  /** The best choice with the same cuts in all layers, where this one has others: for when paths beside the main one run out. */
  readonly shared?: DegreeChoice;
}

/** Degrees with that of SiLU raised in every layer until it is {@link FINE_SILU exact}, where the levels between refreshes allow it. */
function refinedSilu(
  tables: readonly LayerErrors[],
  cuts: DegreeChoice['cuts'],
  layers: readonly Rated[],
  usable: number,
): Degrees[] {
  const chosen = layers.map(({ degrees }) => degrees);
  const fits = (): boolean => {
    const depths = chosen.map((degrees) => layerDepths(degrees));
    return passStretches(depths, cuts).every((ofLayer) => Object.values(ofLayer).every((d) => d <= usable));
  };
  tables.forEach((errors, layer) => {
    for (const silu of options.silu) {
      const before = chosen[layer]!;
      if (silu <= before.silu || errors.of('silu', before) <= FINE_SILU) continue;
      chosen[layer] = { ...before, silu };
      if (fits()) continue;
      chosen[layer] = before;
      return;
    }
  });
  return chosen;
}

const worst = (layers: readonly Rated[]): number => Math.max(...layers.map(({ missedBits }) => missedBits));

/**
 * The fewest refreshes with which every layer's polynomials are accurate, and in each layer the degrees that reach their targets with
 * the fewest products, or come closest: wide windows get high degrees where the levels between two refreshes allow them, narrow ones
 * low degrees. The cuts are the same in all layers, unless cuts of their own need fewer refreshes and are as accurate ({@link chooseOwnCuts}).
 *
 * @throws SottoError `PLAN_TOO_FEW_LEVELS`, `PLAN_INACCURATE`.
 */
function chooseForSoftmax(calibration: Calibration, config: LlamaConfig, usable: number): DegreeChoice {
  const tables = calibration.layers.map((layer) => new LayerErrors(softmaxLayer(layer), config));
  let closest: Rated[] | null = null;
  for (let count = 1; count <= cutNames.length; count++) {
    const found: { cuts: CutName[]; layers: Rated[] }[] = [];
    for (const cuts of cutChoices(layerDepths(defaultDegrees), count)) {
      const layers: Rated[] = [];
      for (const errors of tables) {
        const chosen = chooseForLayer(errors, cuts, usable);
        if (chosen === null) break;
        layers.push(chosen);
      }
      if (layers.length < tables.length) continue;
      if (closest === null || worst(layers) < worst(closest)) closest = layers;
      if (layers.every(({ beyond }) => beyond === null)) found.push({ cuts, layers });
    }
    if (found.length === 0) continue;
    const least = Math.min(...found.map(({ layers }) => worst(layers)));
    // Best cuts first.
    const shared = found.find((choice) => worst(choice.layers) <= least + TOLERATED_BITS)!;
    const same = shared.layers.map(() => shared.cuts);
    const roomy = tables.map((errors) =>
      chooseForLayer(errors, shared.cuts, usable, usable, UNPACKING_LEVELS),
    );
    const isRoomy = roomy.every(
      (layer, i) =>
        layer?.beyond === null && layer.missedBits <= shared.layers[i]!.missedBits + TOLERATED_SHARING_BITS,
    );
    const own = chooseOwnCuts(
      tables.map((errors) => (cuts, head) => chooseForLayer(errors, cuts, usable, head)),
      usable,
      worst(shared.layers) + TOLERATED_BITS,
    );
    const choiceOf = (cuts: DegreeChoice['cuts'], layers: readonly Rated[]): DegreeChoice => {
      const degrees = refinedSilu(tables, cuts, layers, usable);
      const polynomials = calibration.layers.map((c, layer) => layerPolynomials(c, config, degrees[layer]!));
      return { cuts, degrees, polynomials };
    };
    const choice = choiceOf(same, isRoomy ? (roomy as Rated[]) : shared.layers);
    if (own === null || refreshesOf(own.cuts) >= refreshesOf(same)) return choice;
    return { ...choiceOf(own.cuts, own.layers), shared: choice };
  }
  if (closest === null) {
    throw new SottoError('The circuit is deeper than the levels between two refreshes.', {
      code: 'PLAN_TOO_FEW_LEVELS',
      facts: { usableLevels: usable },
      fix: 'Use parameters with more levels.',
    });
  }
  const layer = closest.findIndex(({ beyond }) => beyond !== null);
  const { beyond, degrees } = closest[layer]!;
  throw inaccurate(layer, beyond!, tables[layer]!.of(beyond!, degrees));
}

function inaccurate(layer: number, polynomial: Chosen | keyof PolynomialErrors, error: number): SottoError {
  return new SottoError('A calibrated range is too wide for the polynomials that fit.', {
    code: 'PLAN_INACCURATE',
    facts: { layer, polynomial, error: error.toPrecision(2), limit: limits[polynomial] },
    fix: 'Calibrate on more and more typical text, put a public prefix in front, or use parameters with more levels.',
  });
}

/** The same degrees in every layer: of those that need the fewest refreshes and are accurate, the first. */
function chooseFrom(
  choices: readonly Degrees[],
  calibration: Calibration,
  config: LlamaConfig,
  usable: number,
): DegreeChoice {
  let best: DegreeChoice | null = null;
  let problem: unknown;
  for (const degrees of choices) {
    try {
      const cuts = chooseCuts(layerDepths(degrees, kindsOf(config)), usable);
      if (best !== null && cuts.length >= best.cuts[0]!.length) continue;
      const polynomials = calibration.layers.map((layer) => layerPolynomials(layer, config, degrees));
      polynomials.forEach(({ errors }, layer) => {
        for (const [name, error] of Object.entries(errors) as [keyof PolynomialErrors, number][])
          if (!(error <= limits[name])) throw inaccurate(layer, name, error);
      });
      best = {
        degrees: calibration.layers.map(() => degrees),
        cuts: calibration.layers.map(() => cuts),
        polynomials,
      };
    } catch (error) {
      problem ??= error;
    }
  }
  if (best === null) throw problem;
  return best;
}

/**
 * Degrees and refresh points of a model: for plain Llama every layer gets its own, see above; other kinds have one choice for all.
 *
 * @param fixed degrees to use in every layer instead.
 * @throws SottoError `PLAN_TOO_FEW_LEVELS`, `PLAN_INACCURATE`.
 */
export function chooseDegrees(
  calibration: Calibration,
  config: LlamaConfig,
  usable: number,
  fixed?: Degrees,
): DegreeChoice {
  if (fixed === undefined && isPlainLlama(config)) return chooseForSoftmax(calibration, config, usable);
  return chooseFrom(fixed === undefined ? kernelChoices : [fixed], calibration, config, usable);
}
