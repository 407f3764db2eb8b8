import { readFileSync } from 'node:fs';
import { SottoError } from '@sotto/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { embeddedCalibration, readCalibration } from './index.js';

const valid = readFileSync(embeddedCalibration, 'utf8');

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Replaces the value at a random place of a tree. */
function replaced(tree: Json, path: readonly number[], value: Json): Json {
  const [step, ...rest] = path;
  if (step === undefined || typeof tree !== 'object' || tree === null) return value;
  if (Array.isArray(tree)) {
    if (tree.length === 0) return value;
    return tree.map((child, i) => (i === step % tree.length ? replaced(child, rest, value) : child));
  }
  const names = Object.keys(tree);
  const name = names[step % names.length]!;
  return { ...tree, [name]: replaced(tree[name]!, rest, value) };
}

const tree = JSON.parse(valid) as Json;

const value = fc.constantFrom<Json>(
  null,
  true,
  -1,
  0,
  1e300,
  0.5,
  '',
  'x',
  [],
  [null],
  [1, 0],
  {},
  { length: 3 },
);

test('a calibration with any value replaced is read or refused', () => {
  let refused = 0;
  fc.assert(
    fc.property(fc.array(fc.nat(40), { minLength: 1, maxLength: 4 }), value, (path, instead) => {
      const text = JSON.stringify(replaced(tree, path, instead));
      try {
        readCalibration(text);
      } catch (error) {
        if (!SottoError.is(error)) throw error;
        expect(error.code).toBe('CALIBRATION_INVALID');
        refused++;
      }
    }),
    { numRuns: 150 },
  );
  expect(refused).toBeGreaterThan(30);
});

test('a truncated calibration is refused', () => {
  fc.assert(
    fc.property(fc.nat(valid.length - 3), (length) => {
      expect(() => readCalibration(valid.slice(0, length))).toThrow(/CALIBRATION_INVALID/);
    }),
    { numRuns: 50 },
  );
});
