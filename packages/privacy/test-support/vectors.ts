import { type WordVectors, wordVectors } from '../src/build/vectors.js';

/** A small generator with known output (xorshift32), for inputs of tests. */
export function testRandom(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Made-up words in themes: vectors of a theme lie close together. */
export function themedVectors(count: number, dimension = 8, seed = 7): WordVectors {
  const random = testRandom(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const themes = Math.max(1, Math.round(count / 12));
  const centres = Float64Array.from({ length: themes * dimension }, normal);
  const values = new Float32Array(count * dimension);
  for (let i = 0; i < count; i++) {
    for (let d = 0; d < dimension; d++)
      values[i * dimension + d] = centres[(i % themes) * dimension + d]! + 0.5 * normal();
  }
  return wordVectors(
    Array.from({ length: count }, (_, i) => `w${i.toString(36)}x`),
    dimension,
    values,
  );
}
