import fc from 'fast-check';
import { expect, it } from 'vitest';
import { packBits, packedLength, unpackBits } from './packing.js';

it('gives back every residue, in as few words as there are bits', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 32 }),
      fc.array(fc.nat(2 ** 32 - 1), { maxLength: 100 }),
      (bits, values) => {
        const words = Uint32Array.from(values, (value) => value % 2 ** bits);
        const packed = packBits(words, bits);
        expect(packed.length).toBe(packedLength(words.length, bits));
        const out = new Uint32Array(words.length);
        unpackBits(packed, bits, out);
        expect(out).toEqual(words);
      },
    ),
    { numRuns: 500 },
  );
});

it('puts the first residue in the lowest bits', () => {
  expect([...packBits(Uint32Array.of(1, 2, 3), 12)]).toEqual([0x03002001, 0]);
});
