import { makeSetup } from '@sotto/engine';
import { readModelFile } from '@sotto/model';
import { expect, it } from 'vitest';
import { countSession } from '../cost/count-session.js';
import { engineMemory, PROCESS_BYTES } from './forecast.js';
import { availableMemoryBytes } from './memory.js';

it('finds memory', () => {
  expect(availableMemoryBytes()).toBeGreaterThan(2 ** 26);
});

it.each(['bootstrap', 'client'] as const)(
  'plans what a session will take at its peak, refreshed by %s, and little more',
  async (refresh) => {
    const { weights: model } = await readModelFile({ model: 'stories260K' });
    const setup = await makeSetup(model, { refresh, parameters: 'insecure-toy' });
    const availableBytes = 8e9;
    const { totalBytes, keyBytes, plaintexts } = engineMemory(setup, { availableBytes });
    const counted = await countSession(model, setup, {
      ...{ publicTokens: 4, privateTokens: 4, availableBytes },
    });
    const polynomials = totalBytes - PROCESS_BYTES;
    expect(keyBytes).toBe(counted.keyBytes);
    expect(plaintexts).toBe('rows');
    expect(polynomials).toBeGreaterThanOrEqual(counted.peakBytes + counted.weightBytes);
    expect(polynomials).toBeLessThan(1.5 * (counted.peakBytes + counted.weightBytes));
    const inFile = engineMemory(setup, { availableBytes, keysInFile: true });
    expect(totalBytes - inFile.totalBytes).toBe(keyBytes);
    // With less memory weights wait as coefficients.
    const tight = engineMemory(setup, { availableBytes: keyBytes });
    expect(tight.plaintexts).toBe('coefficients');
    expect(tight.totalBytes).toBeLessThan(totalBytes);
  },
);
