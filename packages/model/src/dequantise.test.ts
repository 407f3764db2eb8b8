import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { blockFormats } from './dequantise.js';

/** Random blocks and what the reference implementation of the format makes of them. */
const golden: Record<string, { bytes: string; values: number[] }> = JSON.parse(
  readFileSync(new URL('./testdata/dequantised.json', import.meta.url), 'utf8'),
);

test.each(Object.keys(golden))('%s blocks', (name) => {
  const format = [...blockFormats.values()].find((candidate) => candidate.name === name)!;
  const { bytes, values } = golden[name]!;
  const out = new Float32Array(values.length);
  const raw = Uint8Array.from(Buffer.from(bytes, 'hex'));
  expect(raw.length).toBe((values.length / format.elements) * format.sizeBytes);
  format.decode(raw, out);
  const largest = Math.max(...values.map(Math.abs));
  expect(largest).toBeGreaterThan(0);
  out.forEach((value, i) => {
    expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual(1e-6 * largest);
  });
});

test('every type has a golden block', () => {
  expect(Object.keys(golden).sort()).toEqual(
    [...blockFormats.values()]
      .map(({ name }) => name)
      .filter((name) => name !== 'F32')
      .sort(),
  );
});
