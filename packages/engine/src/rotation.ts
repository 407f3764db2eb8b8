import { type LlamaLayer, type LlamaModel, SeededRandom } from '@sotto/model';

/**
 * An orthogonal map of the residual stream: random signs, then a Hadamard matrix of the largest power of two that divides `dim`
 * beside a random orthogonal one of the odd rest (QuaRot, arXiv 2404.00456, for powers of two). It spreads a channel over all
 * features. The same seed gives the same map everywhere.
 */
export class StreamRotation {
  readonly dim: number;
  readonly #signs: Float64Array;
  readonly #rest: readonly Float64Array[];
  readonly #blocks: number;

  constructor(dim: number, seed: number) {
    const random = new SeededRandom(seed);
    let odd = dim;
    while (odd % 2 === 0) odd /= 2;
    this.dim = dim;
    this.#blocks = dim / odd;
    this.#signs = Float64Array.from({ length: dim }, () => (random.next() < 0.5 ? -1 : 1));
    this.#rest = orthogonal(odd, random);
  }

  /** The rotated vector. */
  apply(x: ArrayLike<number>): Float64Array {
    const y = Float64Array.from(x, (value, i) => value * this.#signs[i]!);
    this.#mixBlocks(y);
    this.#mixRest(y, (i, j) => this.#rest[i]![j]!);
    return y;
  }

  /** The vector that {@link apply} makes `y` of. */
  undo(y: ArrayLike<number>): Float64Array {
    const x = Float64Array.from(y);
    this.#mixRest(x, (i, j) => this.#rest[j]![i]!);
    this.#mixBlocks(x);
    return x.map((value, i) => value * this.#signs[i]!);
  }

  /** Sums and differences over the blocks, in place: symmetric, so its own inverse. */
  #mixBlocks(y: Float64Array): void {
    const size = this.dim / this.#blocks;
    for (let half = size; half < this.dim; half *= 2) {
      for (let at = 0; at < this.dim; at += 2 * half) {
        for (let i = at; i < at + half; i++) {
          const [a, b] = [y[i]!, y[i + half]!];
          y[i] = (a + b) * Math.SQRT1_2;
          y[i + half] = (a - b) * Math.SQRT1_2;
        }
      }
    }
  }

  #mixRest(y: Float64Array, entry: (i: number, j: number) => number): void {
    const size = this.dim / this.#blocks;
    if (size === 1) return;
    for (let at = 0; at < this.dim; at += size) {
      const block = y.slice(at, at + size);
      for (let i = 0; i < size; i++) {
        let sum = 0;
        for (let j = 0; j < size; j++) sum += entry(i, j) * block[j]!;
        y[at + i] = sum;
      }
    }
  }
}

/** A random orthogonal matrix by rows: Gram and Schmidt, twice, on normal numbers. */
function orthogonal(size: number, random: SeededRandom): Float64Array[] {
  if (size === 1) return [Float64Array.of(1)];
  const rows: Float64Array[] = [];
  while (rows.length < size) {
    const row = Float64Array.from({ length: size }, () => random.normal());
    for (let pass = 0; pass < 2; pass++) {
      for (const other of rows) {
        const dot = row.reduce((sum, value, i) => sum + value * other[i]!, 0);
        other.forEach((value, i) => {
          row[i]! -= dot * value;
        });
      }
    }
    const length = Math.hypot(...row);
    rows.push(row.map((value) => value / length));
  }
  return rows;
}

/** Rows of a matrix that acts on the normalised stream: gain first, then the rotation. */
function rotateInputs(w: Float32Array, gain: Float32Array, rotation: StreamRotation): Float32Array {
  const { dim } = rotation;
  const out = new Float32Array(w.length);
  for (let at = 0; at < w.length; at += dim)
    out.set(rotation.apply(w.subarray(at, at + dim).map((value, i) => value * gain[i]!)), at);
  return out;
}

/** Columns of a matrix that writes to the stream. */
function rotateOutputs(w: Float32Array, rotation: StreamRotation): Float32Array {
  const { dim } = rotation;
  const inputs = w.length / dim;
  const out = new Float32Array(w.length);
  const column = new Float64Array(dim);
  for (let j = 0; j < inputs; j++) {
    for (let i = 0; i < dim; i++) column[i] = w[i * inputs + j]!;
    rotation.apply(column).forEach((value, i) => {
      out[i * inputs + j] = value;
    });
  }
  return out;
}

function rotateLayer(layer: LlamaLayer, rotation: StreamRotation): LlamaLayer {
  const { attentionNorm, feedForwardNorm } = layer;
  const ones = new Float32Array(rotation.dim).fill(1);
  return {
    ...layer,
    attentionNorm: ones,
    wq: rotateInputs(layer.wq, attentionNorm, rotation),
    wk: rotateInputs(layer.wk, attentionNorm, rotation),
    wv: rotateInputs(layer.wv, attentionNorm, rotation),
    wo: rotateOutputs(layer.wo, rotation),
    feedForwardNorm: ones,
    w1: rotateInputs(layer.w1, feedForwardNorm, rotation),
    w2: rotateOutputs(layer.w2, rotation),
    w3: rotateInputs(layer.w3, feedForwardNorm, rotation),
  };
}

/**
 * The model whose residual stream is the rotated one: the gains of the norms are folded into the weights first, since only a norm
 * without gain commutes with a rotation. It computes the same from rotated embeddings, in real numbers: queries, keys, values, scores,
 * gates and mean squares are those of the given model. Its embedding and head are the given ones, to be used with
 * {@link StreamRotation.apply} and {@link StreamRotation.undo}: both belong to the client.
 */
export function rotateModel(model: LlamaModel, rotation: StreamRotation): LlamaModel {
  return { ...model, layers: model.layers.map((layer) => rotateLayer(layer, rotation)) };
}
