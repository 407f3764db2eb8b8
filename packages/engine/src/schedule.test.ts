import { describe, expect, test } from 'vitest';
import { defaultDegrees } from './polynomials.js';
import { chooseCuts, layerDepths, passStretches, refreshesOf, stretchDepths } from './schedule.js';

const depths = layerDepths(defaultDegrees);

test('a stock layer is 41 levels deep', () => {
  expect(depths.at).toEqual({
    start: 0,
    score: 7,
    root: 10,
    exponential: 13,
    normalised: 20,
    weights: 21,
    middle: 30,
    gate: 36,
    silu: 40,
  });
  expect(depths.end).toBe(41);
});

describe('refreshes of a layer by usable levels', () => {
  test.each([
    [9, 6],
    [10, 5],
    [11, 4],
    [12, 4],
    [14, 4],
    [17, 3],
    [41, 1],
  ])('%d levels: %d refreshes', (usable, count) => {
    const cuts = chooseCuts(depths, usable);
    expect(cuts.length).toBe(count);
    expect(cuts[0]).toBe('start');
    for (const stretch of Object.values(stretchDepths(depths, cuts)))
      expect(stretch).toBeLessThanOrEqual(usable);
  });

  test('eight levels are one too few', () => {
    expect(() => chooseCuts(depths, 8)).toThrow(/PLAN_TOO_FEW_LEVELS/);
  });
});

test('stretches reach over the end of a layer when the next one has no refresh at its start', () => {
  const cuts = [
    ['start', 'middle', 'silu'],
    ['score', 'middle'],
    ['start', 'gate'],
  ] as const;
  expect(passStretches([depths, depths, depths], cuts)).toEqual([
    // A refresh of SiLU and up has two levels more: to take them apart, and for their product.
    { start: 30, middle: 10, silu: 2 + 1 + 7 },
    { score: 23, middle: 11 },
    { start: 36, gate: 5 },
  ]);
  expect(refreshesOf(cuts)).toBe(6);
  expect(passStretches([depths], [[]])).toEqual([{ start: 41 }]);
});
