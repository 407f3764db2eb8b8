import { SottoError } from '@sotto/base';
import { unitRows, type WordVectors } from './vectors.js';

/**
 * A value for every word: that of the lexicon where it has one, else what ridge regression on the vectors predicts from the words it has.
 * @param lexicon e.g. sentiment by word
 */
export function lexiconValues(
  vectors: WordVectors,
  lexicon: ReadonlyMap<string, number>,
  ridge = 1,
): Float64Array {
  const { words, dimension } = vectors;
  const unit = unitRows(vectors);
  const known = words.flatMap((word, i) => (lexicon.has(word) ? [i] : []));
  if (known.length < dimension) {
    throw new SottoError('The lexicon knows too few words of the vocabulary.', {
      code: 'BUILD_INVALID',
      facts: { known: known.length, needed: dimension },
      fix: 'Use a larger lexicon.',
    });
  }
  const gram = new Float64Array(dimension * dimension);
  const right = new Float64Array(dimension);
  for (const i of known) {
    const value = lexicon.get(words[i]!)!;
    for (let a = 0; a < dimension; a++) {
      right[a]! += unit[i * dimension + a]! * value;
      for (let b = 0; b <= a; b++)
        gram[a * dimension + b]! += unit[i * dimension + a]! * unit[i * dimension + b]!;
    }
  }
  for (let a = 0; a < dimension; a++) gram[a * dimension + a]! += ridge;
  const solution = solveCholesky(gram, right);
  return Float64Array.from(words, (word, i) => {
    const given = lexicon.get(word);
    if (given !== undefined) return given;
    let sum = 0;
    for (let d = 0; d < dimension; d++) sum += unit[i * dimension + d]! * solution[d]!;
    return sum;
  });
}

/** Solves A x = b for a positive definite A given by its lower triangle; overwrites both. */
function solveCholesky(a: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= a[i * n + k]! * a[j * n + k]!;
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / a[j * n + j]!;
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) b[i]! -= a[i * n + k]! * b[k]!;
    b[i]! /= a[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) b[i]! -= a[k * n + i]! * b[k]!;
    b[i]! /= a[i * n + i]!;
  }
  return b;
}

/** A text with a label, for {@link taskValues}. */
export interface LabelledText {
  /** Word ids; negative ones are skipped. */
  readonly words: readonly number[];
  readonly label: 0 | 1;
}

/**
 * A coordinate learnt from labelled texts: the weights of a bag-of-words logistic regression (L2, averaged stochastic gradient). Tables
 * built with it show the label of a word at any epsilon, by design, and depend on the texts: build them from texts that may be known.
 */
export function taskValues(
  vocabularySize: number,
  texts: readonly LabelledText[],
  options: { readonly epochs?: number; readonly rate?: number; readonly l2?: number } = {},
): Float64Array {
  const { epochs = 8, rate = 0.3, l2 = 1e-4 } = options;
  const weights = new Float64Array(vocabularySize);
  const squares = new Float64Array(vocabularySize).fill(1e-8);
  let bias = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    // A fixed stride that visits every text once.
    const stride = coprimeStride(texts.length, epoch);
    for (let i = 0, at = 0; i < texts.length; i++, at = (at + stride) % texts.length) {
      const { words, label } = texts[at]!;
      let score = bias;
      for (const word of words) if (word >= 0) score += weights[word]!;
      const error = 1 / (1 + Math.exp(-score)) - label;
      bias -= 0.01 * rate * error;
      for (const word of words) {
        if (word < 0) continue;
        const slope = error + l2 * weights[word]!;
        squares[word]! += slope * slope;
        weights[word]! -= (rate * slope) / Math.sqrt(squares[word]!);
      }
    }
  }
  return weights;
}

function coprimeStride(count: number, seed: number): number {
  const coprime = (a: number, b: number): boolean => (b === 0 ? a === 1 : coprime(b, a % b));
  let stride = Math.max(1, Math.floor(count * 0.6180339887) + seed);
  while (!coprime(count, stride)) stride++;
  return stride;
}
