import { describe, expect, it } from 'vitest';
import { testRandom, themedVectors } from '../../test-support/vectors.js';
import { blockEntropyBits } from '../table/statistics.js';
import { lexiconValues, taskValues } from './coordinates.js';
import { searchShapes } from './search.js';
import { buildStaircase } from './staircase.js';
import { steadyLog2 } from './vectors.js';
import { winkVectors } from './wink.js';

const vectors = themedVectors(300, 6);
/** A value that is linear in the direction of a word's vector. */
const truth = Float64Array.from(vectors.words, (_, i) => {
  const row = vectors.values.subarray(6 * i, 6 * i + 6);
  const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
  return (2 * row[0]! - row[3]!) / length;
});

describe('coordinates', () => {
  it('continue a lexicon to words that it lacks', () => {
    const lexicon = new Map(vectors.words.slice(0, 150).map((word, i) => [word, truth[i]!]));
    const values = lexiconValues(vectors, lexicon, 1e-6);
    values.forEach((value, i) => {
      expect(value).toBeCloseTo(truth[i]!, 4);
    });
    expect(() => lexiconValues(vectors, new Map([['unheard', 1]]))).toThrow(/BUILD_INVALID/);
  });

  it('learn from labelled texts which words speak for a label', () => {
    const random = testRandom(4);
    const texts = Array.from({ length: 2000 }, () => {
      const words = Array.from({ length: 8 }, () => Math.floor(random() * 300));
      const score = words.reduce((sum, word) => sum + (word % 3) - 1, 0);
      return { words: [...words, -1], label: score > 0 ? (1 as const) : (0 as const) };
    });
    const values = taskValues(300, texts);
    const mean = (rest: number) =>
      values.reduce((sum, value, i) => sum + (i % 3 === rest ? value : 0), 0) / 100;
    expect(mean(2) - mean(1)).toBeGreaterThan(0.3);
    expect(mean(1) - mean(0)).toBeGreaterThan(0.3);
    expect(taskValues(300, texts)).toEqual(values);
  });

  it('have logarithms that agree with Math.log2 at powers of two and stay close between', () => {
    for (let i = 1; i < 5000; i++) expect(Math.abs(steadyLog2(i) - Math.log2(i))).toBeLessThan(0.087);
    expect(steadyLog2(4096)).toBe(12);
  });
});

describe('searchShapes', () => {
  it('keeps what is hard enough to guess, the most useful first', () => {
    const shapes = [
      [5, 1],
      [10, 2],
      [20, 4],
      [20, 20],
    ] as const;
    const options = { name: 'x', provenance: 'made up', epsilon: '2' };
    const loose = searchShapes(vectors, options, shapes, 1);
    expect(loose.length).toBe(4);
    for (let i = 1; i < loose.length; i++) {
      expect(loose[i]!.distortion).toBeGreaterThanOrEqual(loose[i - 1]!.distortion);
    }
    expect(loose.at(-1)).toMatchObject({ k: 20, m: 20 });
    const strict = searchShapes(vectors, options, shapes, 0.25);
    expect(strict.length).toBeGreaterThan(0);
    expect(strict.length).toBeLessThan(4);
    for (const { attackSuccess } of strict) expect(attackSuccess).toBeLessThanOrEqual(0.25);
  });
});

describe('block entropy', () => {
  it('is at most log2 of the number of blocks', () => {
    const table = buildStaircase(vectors, {
      name: 'x',
      provenance: 'made up',
      notion: 'ldp-within-block',
      epsilon: '1',
      k: 20,
      m: 5,
    });
    expect(blockEntropyBits(table)).toBeLessThanOrEqual(Math.log2(table.blocks.length));
    expect(blockEntropyBits(table)).toBeGreaterThan(0.8 * Math.log2(table.blocks.length));
  });
});

describe('winkVectors', () => {
  it('takes words of letters in their order', () => {
    const json = {
      dimensions: 2,
      words: ['the', ',', "n't", '42', 'co-op', 'naïve', 'of'],
      vectors: { the: [1, 2, 9, 0], "n't": [3, 4, 9, 2], 'co-op': [5, 6, 9, 4], of: [7, 8, 9, 6] },
    };
    const { words, values } = winkVectors(json, 3);
    expect(words).toEqual(['the', "n't", 'co-op']);
    expect([...values]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(() => winkVectors({}, 3)).toThrow(/VECTORS_INVALID/);
  });
});
