import { readFileSync } from 'node:fs';
import { embeddedModel, readLlama2c } from '@sotto/model';
import { expect, test } from 'vitest';
import { chooseDegrees } from './degrees.js';
import { type Calibration, embeddedCalibration, readCalibration } from './index.js';
import { layerDepths, passStretches, refreshesOf } from './schedule.js';

const { config } = readLlama2c(readFileSync(embeddedModel.model));
const calibration = readCalibration(readFileSync(embeddedCalibration, 'utf8'));

/** The same calibration with one layer changed. */
const changed = (layer: number, change: Partial<Calibration['layers'][number]>): Calibration => ({
  ...calibration,
  layers: calibration.layers.map((c, l) => (l === layer ? { ...c, ...change } : c)),
});

test.each([10, 12, 14, 17])('every stretch of every layer fits %d levels', (usable) => {
  const { cuts, degrees, polynomials } = chooseDegrees(calibration, config, usable);
  const stretches = passStretches(
    degrees.map((ofLayer) => layerDepths(ofLayer)),
    cuts,
  );
  for (const depth of stretches.flatMap((ofLayer) => Object.values(ofLayer)))
    expect(depth).toBeLessThanOrEqual(usable);
  for (const layer of degrees.keys()) {
    const { norm, inverse, lastInverse } = polynomials[layer]!.errors;
    expect(norm).toBeLessThan(0.01);
    expect(inverse).toBeLessThan(0.9);
    expect(lastInverse).toBeLessThan(0.02);
  }
});

test('more levels never mean more refreshes', () => {
  const counts = [10, 11, 12, 14, 17, 45].map((usable) =>
    refreshesOf(chooseDegrees(calibration, config, usable).cuts),
  );
  expect(counts).toEqual([...counts].sort((a, b) => b - a));
  expect(counts.at(-1)).toBe(config.layerCount - 1);
  expect(counts[2]).toBe(4 * config.layerCount - 1);
});

test('a layer with wide windows gets higher degrees, the others stay as they are', () => {
  const plain = chooseDegrees(calibration, config, 12);
  const wide = chooseDegrees(changed(2, { attentionMeanSquare: [0.05, 5] }), config, 12);
  expect(wide.cuts).toEqual(plain.cuts);
  expect(plain.degrees[2]!.norm).toBe(15);
  expect(wide.degrees[2]!.norm).toBeGreaterThanOrEqual(31);
  for (const layer of [0, 1, 3, 4]) expect(wide.degrees[layer]).toEqual(plain.degrees[layer]);
  expect(wide.polynomials[2]!.errors.norm).toBeLessThan(5e-3);
});

test('a narrow layer gets low degrees', () => {
  const narrow = chooseDegrees(
    changed(1, { gate: 1, feedForwardMeanSquare: [1, 1.6], attentionMeanSquare: [1, 1.6], logSum: [-1, 1] }),
    config,
    12,
  );
  expect(narrow.degrees[1]).toMatchObject({ norm: 7, feedForwardNorm: 7, silu: 7, inverse: 30 });
});

test('what no degree covers is refused with the layer and the function', () => {
  expect(() => chooseDegrees(changed(3, { logSum: [-24, 2] }), config, 12)).toThrow(/PLAN_INACCURATE/);
  try {
    chooseDegrees(changed(3, { gate: 400 }), config, 12);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: 'PLAN_INACCURATE', facts: { layer: 3, polynomial: 'silu' } });
  }
  expect(() => chooseDegrees(calibration, config, 6)).toThrow(/PLAN_TOO_FEW_LEVELS/);
});

test('layers continue on levels of the one before where that needs fewer refreshes', () => {
  // Five refreshes a layer, when every layer starts with one: SiLU is too wide for the levels behind the middle.
  const wide = {
    ...calibration,
    layers: calibration.layers.map((c) => ({
      ...c,
      gate: 22,
      feedForwardMeanSquare: [0.3, 4] as const,
      score: [-60, 1.5] as const,
      logSum: [-4, 1.5] as const,
      logSquareSum: [-4.5, 0] as const,
    })),
  };
  const { cuts, degrees } = chooseDegrees(wide, config, 12);
  expect(refreshesOf(cuts)).toBeLessThan(5 * config.layerCount - 1);
  expect(cuts[0]![0]).toBe('start');
  const stretches = passStretches(
    degrees.map((ofLayer) => layerDepths(ofLayer)),
    cuts,
  );
  for (const depth of stretches.flatMap((ofLayer) => Object.values(ofLayer)))
    expect(depth).toBeLessThanOrEqual(12);
  const continued = cuts.flatMap((ofLayer, layer) => (ofLayer.includes('start') ? [] : [layer]));
  expect(continued.length).toBeGreaterThan(0);
  for (const layer of continued) {
    // Behind SiLU of one layer comes the first cut of the next.
    expect(cuts[layer - 1]!.at(-1)).toBe('silu');
    const head = layerDepths(degrees[layer]!).at[cuts[layer]![0]!]!;
    expect(stretches[layer - 1]!.silu).toBe(3 + head);
  }
});
