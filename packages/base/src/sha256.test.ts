import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Sha256, sha256, toHex } from './sha256.js';

describe('sha256', () => {
  it('agrees with node:crypto on every length round a block', () => {
    for (let length = 0; length <= 200; length++) {
      const bytes = randomBytes(length);
      expect(toHex(sha256(bytes))).toBe(createHash('sha256').update(bytes).digest('hex'));
    }
  });

  it('does not depend on how the input is cut', () => {
    const bytes = randomBytes(1000);
    const expected = createHash('sha256').update(bytes).digest('hex');
    for (const piece of [1, 7, 63, 64, 65, 500]) {
      const hash = new Sha256();
      for (let at = 0; at < bytes.length; at += piece) hash.update(bytes.subarray(at, at + piece));
      expect(toHex(hash.digest())).toBe(expected);
    }
  });
});
