import { describe, expect, it } from 'vitest';
import { createParameters } from './create-parameters.js';
import { insecureBoot, insecureClient, N15_CLIENT, N16_BOOT, presetByName } from './presets.js';
import { reportSecurity, securityBits } from './security.js';

describe.each([
  N16_BOOT,
  N15_CLIENT,
  insecureBoot(11),
  insecureBoot(14),
  insecureClient(10),
  insecureClient(11, 9),
])('parameters $name', (literal) => {
  const params = createParameters(literal);
  const product = (basis: readonly number[]) => basis.reduce((q, i) => q * BigInt(params.primes[i]), 1n);

  it('uses distinct primes 1 mod 2N below 2^30', () => {
    expect(new Set(params.primes).size).toBe(params.primes.length);
    for (const p of params.primes) {
      expect(p % (2 * params.n)).toBe(1);
      expect(p).toBeLessThan(2 ** 30);
    }
  });

  it('ties the scales of neighbouring levels exactly', () => {
    const exact = 2 ** -46;
    for (let level = 1; level < params.levels.length; level++) {
      const here = params.levels[level];
      const below = params.levels[level - 1];
      const ratio = Number((product(here.basis) * 2n ** 80n) / product(below.basis)) / 2 ** 80;
      const boot = params.bootstrap;
      const target = boot && level === boot.residualTop + 1 ? boot.evalModOutputScale : below.scale;
      expect(Math.abs((here.scale * here.plainScale) / ratio / target - 1)).toBeLessThan(exact);
      if (here.kind === 'residual' || here.kind === 'evalMod') {
        expect(Math.abs(here.plainScale / here.scale - 1)).toBeLessThan(exact);
      }
    }
  });

  it('keeps circuit levels within a bit of 40 bits and the special modulus above every digit', () => {
    for (let level = params.bottomLevel; level <= params.freshLevel; level++) {
      expect(Math.abs(Math.log2(params.levels[level].scale) - 40)).toBeLessThan(1);
    }
    const logP = params.special.reduce((sum, i) => sum + Math.log2(params.primes[i]), 0);
    const logUnion = params.logQP - logP;
    expect(logP).toBeGreaterThan(logUnion / params.digitCount);
  });
});

describe('security', () => {
  it('gives the secure presets at least 128 bits and the toys their name', () => {
    for (const literal of [N16_BOOT, N15_CLIENT]) {
      const params = createParameters(literal);
      expect(params.security.bits).toBeGreaterThanOrEqual(128);
      expect(Math.ceil(params.logQP)).toBeLessThanOrEqual(params.security.logQPLimit);
      expect(params.security.warning).toBeNull();
    }
    expect(createParameters(N16_BOOT).levels.length - 1).toBe(27);
    expect(presetByName('insecure-boot-N11')?.security.bits).toBeLessThan(20);
  });

  it('refuses parameters below 128 bits that do not say insecure', () => {
    expect(() => createParameters({ ...insecureBoot(11), name: 'fast' })).toThrowError(
      /HE_PARAMETERS_INSECURE/,
    );
    expect(() => createParameters({ ...N16_BOOT, logN: 15, name: 'short ring' })).toThrowError(
      /HE_PARAMETERS_INSECURE/,
    );
  });

  it('reads the table conservatively', () => {
    expect(securityBits({ logN: 16, secret: { kind: 'uniformTernary' }, logQP: 1746 })).toBe(128);
    expect(securityBits({ logN: 16, secret: { kind: 'uniformTernary' }, logQP: 1747 })).toBeLessThan(128);
    expect(securityBits({ logN: 16, secret: { kind: 'fixedWeight', weight: 200 }, logQP: 1627 })).toBe(128);
    expect(
      reportSecurity({ logN: 16, secret: { kind: 'fixedWeight', weight: 192 }, logQP: 1525 }).warning,
    ).toMatch(/sparse/);
    expect(
      securityBits({ logN: 16, secret: { kind: 'fixedWeight', weight: 32 }, logQP: 113 }),
    ).toBeGreaterThan(150);
  });
});
