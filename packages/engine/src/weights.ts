import { attentionWidthOf, headDimOf, type LlamaModel } from '@sotto/model';
import { type AnyLayerCalibration, softmaxLayer } from './calibration.js';
import { innerOf, type Layout, quarterStride } from './layout.js';
import { balancedBabySteps, type FeatureShape, featureMap, type LinearMap } from './linear-map.js';
import { kernelOf, type LayerPolynomials, type NormPolynomial } from './polynomials.js';

/** The four things that one product makes of a normalised row, each in its quarter of the columns. */
export const kinds = { query: 0, key: 1, shift: 2, value: 3 } as const;

type Entry = readonly [number, number];

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

/** A product with the residual stream: `weight(feature, input)` is the weight of an output feature. */
function fromStream(
  name: string,
  l: Layout,
  dim: number,
  weight: (feature: number, input: number) => Entry | null,
): LinearMap {
  return featureMap(name, shapeOf(l), range(l.width), balancedBabySteps(l.width, 1), (feature, diagonal) => {
    const input = (feature + diagonal) % l.width;
    return input < dim ? weight(feature, input) : null;
  });
}

const shapeOf = (l: Layout): FeatureShape => ({ features: l.features, rows: l.blockRows });

/** Weights act on the scaled stream and are multiplied by the scaled row norm afterwards; this undoes both scales. */
const unscale = (norm: NormPolynomial): number => 1 / (norm.streamScale * norm.rowScale);

/** Queries, conjugate keys, values (complex pairs) and row shifts from the residual stream. */
export function attentionInput(
  model: LlamaModel,
  l: Layout,
  layer: number,
  calibration: AnyLayerCalibration,
  p: LayerPolynomials,
): LinearMap {
  const { config } = model;
  const w = model.layers[layer]!;
  const headDim = headDimOf(config);
  const group = config.headCount / config.kvHeadCount;
  const scale = unscale(p.attentionNorm);
  const { softmax, kernel } = p;
  // Softmax at half temperature: scores are halved. The kernel takes a quarter of them.
  const scoreScale = softmax === null ? 4 * kernelOf(p).baseScale : 2 * softmax.scoreHalf;
  const queryScale = scale / (Math.sqrt(headDim) * scoreScale);
  const valueScale = scale * (kernel?.valueScale ?? 1);
  const shifts = softmax === null ? null : softmaxLayer(calibration).shift;
  return fromStream(`attention-input/${layer}`, l, config.dim, (feature, input) => {
    const head = feature % l.heads;
    const pair = Math.floor(feature / l.heads) % l.pairs;
    const column = Math.floor(feature / (l.heads * l.pairs));
    if (head >= config.headCount || pair >= headDim / 2) return null;
    const gain = w.attentionNorm[input]!;
    const kind = Math.floor(column / (l.columns / 4));
    if (kind === kinds.shift) {
      if (softmax === null) return null;
      return [(-gain * scale * shifts![head]![input]!) / softmax.scoreHalf, 0];
    }
    const ofHead = kind === kinds.query ? head : Math.floor(head / group);
    const row = ofHead * headDim + 2 * pair;
    const at = row * config.dim + input;
    if (kind === kinds.query)
      return [gain * queryScale * w.wq[at]!, gain * queryScale * w.wq[at + config.dim]!];
    if (kind === kinds.key) return [gain * scale * w.wk[at]!, -gain * scale * w.wk[at + config.dim]!];
    return [gain * valueScale * w.wv[at]!, gain * valueScale * w.wv[at + config.dim]!];
  });
}

/**
 * The output projection. Input: complex value pairs, the same in every column; output: half the new residual features (the other
 * half is the conjugate).
 */
export function attentionOutput(model: LlamaModel, l: Layout, layer: number, p: LayerPolynomials): LinearMap {
  const { config } = model;
  const w = model.layers[layer]!;
  const headDim = headDimOf(config);
  const inputs = l.pairs * l.heads;
  // The inverse was that of twice the sum, so the average comes halved; the real part doubles.
  const scale = p.feedForwardNorm.streamScale;
  const width = attentionWidthOf(config);
  return featureMap(
    `attention-output/${layer}`,
    shapeOf(l),
    range(inputs),
    balancedBabySteps(inputs, 1),
    (feature, diagonal) => {
      const output = feature % l.width;
      const input = (feature + diagonal) % inputs;
      const pair = Math.floor(input / l.heads);
      const head = input % l.heads;
      if (output >= config.dim || head >= config.headCount || 2 * pair >= headDim) return null;
      const at = output * width + head * headDim + 2 * pair;
      return [scale * w.wo[at]!, -scale * w.wo[at + 1]!];
    },
    Math.max(l.width, inputs),
  );
}

/**
 * The output projection of kernel attention. Input: the features of every head, real parts of the pairs in even columns and imaginary
 * parts in odd ones, normalised up to a scale; output: the new residual features.
 */
export function headsOutput(model: LlamaModel, l: Layout, layer: number, p: LayerPolynomials): LinearMap {
  const { config } = model;
  const w = model.layers[layer]!;
  const headDim = headDimOf(config);
  const width = attentionWidthOf(config);
  const inputs = 2 * l.pairs * l.heads;
  const scale = p.feedForwardNorm.streamScale * kernelOf(p).outputScale;
  return featureMap(
    `attention-output/${layer}`,
    shapeOf(l),
    range(inputs),
    balancedBabySteps(inputs, 1),
    (feature, diagonal) => {
      const output = feature % l.width;
      const input = (feature + diagonal) % inputs;
      const part = Math.floor(input / (l.pairs * l.heads));
      const pair = Math.floor(input / l.heads) % l.pairs;
      const head = input % l.heads;
      if (output >= config.dim || head >= config.headCount || 2 * pair >= headDim) return null;
      return [scale * w.wo[output * width + head * headDim + 2 * pair + part]!, 0];
    },
    Math.max(l.width, inputs),
  );
}

/**
 * Half the gate (real part) and half of up (imaginary part), in the staircase order of {@link innerOf}; with a bilinear gate both
 * whole and before the norm.
 */
export function feedForwardInput(
  model: LlamaModel,
  l: Layout,
  layer: number,
  p: LayerPolynomials,
): LinearMap {
  const { config } = model;
  const w = model.layers[layer]!;
  const scale = p.silu === null ? 1 / p.feedForwardNorm.streamScale : 0.5 * unscale(p.feedForwardNorm);
  return fromStream(`feed-forward-input/${layer}`, l, config.dim, (feature, input) => {
    const inner = innerOf(l, feature);
    if (inner >= config.hiddenDim) return null;
    const at = inner * config.dim + input;
    const gain = w.feedForwardNorm[input]! * scale;
    return [(gain * w.w1[at]!) / p.gateScale, (gain * w.w3[at]!) / p.upScale];
  });
}

/** At output * innerWidth + inner: feature * downDiagonals + diagonal that does this pair. */
function downOwners(l: Layout): Int32Array {
  const owner = new Int32Array(l.width * l.innerWidth).fill(-1);
  for (let feature = 0; feature < l.features; feature++) {
    for (let d = 0; d < l.downDiagonals; d++) {
      const at = (feature % l.width) * l.innerWidth + innerOf(l, (feature + d) % l.features);
      if (owner[at] === -1) owner[at] = feature * l.downDiagonals + d;
    }
  }
  return owner;
}

/**
 * The down projection onto the residual stream at `streamScale`, to be summed over all blocks of `width` features. Every
 * (output, inner) pair is done at the first of the places where the staircase brings it together.
 */
export function feedForwardOutput(
  model: LlamaModel,
  l: Layout,
  layer: number,
  p: LayerPolynomials,
  streamScale: number,
): LinearMap {
  const { config } = model;
  const w = model.layers[layer]!;
  // A bilinear gate comes as the square of gate + i up, whose imaginary part is twice the product; taking the real part doubles again.
  const scale =
    streamScale * p.gateScale * p.upScale * (p.silu === null ? 0.25 / p.feedForwardNorm.rowScale : 1);
  const diagonals = range(l.downDiagonals);
  let owner: Int32Array | null = null;
  return featureMap(
    `feed-forward-output/${layer}`,
    shapeOf(l),
    diagonals,
    balancedBabySteps(l.width, 1),
    (feature, d) => {
      const output = feature % l.width;
      const inner = innerOf(l, (feature + d) % l.features);
      if (output >= config.dim || inner >= config.hiddenDim) return null;
      owner ??= downOwners(l);
      if (owner[output * l.innerWidth + inner] !== feature * diagonals.length + d) return null;
      const weight = scale * w.w2[output * config.hiddenDim + inner]!;
      return p.silu === null ? [0, -weight] : [weight, 0];
    },
  );
}

/**
 * Rotations that copy what one product left in its quarter of the columns to where it is wanted, applied one after the other:
 * query and shift to all columns, keys to the lower and values to the upper half.
 */
export function routingSteps(l: Layout, what: 'query' | 'shift' | 'keyValue'): readonly number[] {
  const quarter = quarterStride(l);
  return what === 'keyValue' ? [quarter] : [quarter, 2 * quarter];
}
