import { describe, expect, it } from 'vitest';
import { CleartextRefresher, createCleartextEvaluator } from './index.js';

const slots = 64;
const plain = { slots, levels: 4, logScale: 40 };

function vector(length: number, seed: number, complex = true) {
  return {
    re: Float64Array.from({ length }, (_, i) => Math.sin(seed + 1.3 * i)),
    im: complex ? Float64Array.from({ length }, (_, i) => Math.cos(seed * 2 + 0.7 * i)) : null,
  };
}

function rms(values: Float64Array): number {
  return Math.sqrt(values.reduce((s, v) => s + v * v, 0) / values.length);
}

describe('CleartextEvaluator', () => {
  it('multiplies, rotates and conjugates complex slots of any period', () => {
    const ev = createCleartextEvaluator(plain);
    const a = vector(64, 1);
    const b = vector(16, 2);
    const product = ev.toSlots(ev.mulNew(ev.fromSlots(a), ev.fromSlots(b)));
    const turned = ev.toSlots(ev.conjugateNew(ev.rotateNew(ev.fromSlots(a), -3)));
    for (let i = 0; i < slots; i++) {
      const j = i % 16;
      expect(product.re[i]).toBeCloseTo(a.re[i] * b.re[j] - a.im![i] * b.im![j], 12);
      expect(product.im[i]).toBeCloseTo(a.re[i] * b.im![j] + a.im![i] * b.re[j], 12);
      const k = (i - 3 + slots) % slots;
      expect(turned.re[i]).toBe(a.re[k]);
      expect(turned.im[i]).toBe(-a.im![k]);
    }
  });

  it('applies a transform as its dense matrix would', () => {
    const ev = createCleartextEvaluator(plain);
    const diagonals = new Map([0, 1, 5, 62].map((k) => [k, vector(k === 5 ? 8 : 64, k)]));
    const a = vector(64, 3);
    const t = ev.compileTransform({ diagonals }, { level: 4 });
    const out = ev.toSlots(ev.transformNew(ev.fromSlots(a), t));
    for (let i = 0; i < slots; i++) {
      let re = 0;
      for (const [k, d] of diagonals) {
        const j = (i + k) % slots;
        const m = i % d.re.length;
        re += d.re[m] * a.re[j] - d.im![m] * a.im![j];
      }
      expect(out.re[i]).toBeCloseTo(re, 11);
    }
  });

  it('accounts for levels and refuses what CKKS refuses', () => {
    const ev = createCleartextEvaluator(plain);
    const a = ev.fromSlots(vector(64, 1));
    const low = ev.mulNew(a, a);
    expect(low.level).toBe(3);
    expect(() => ev.addNew(a, low)).toThrow(/HE_LEVEL_MISMATCH/);
    expect(() => ev.mulConstNew(ev.toLevel(a, 0), 2)).toThrow(/HE_LEVEL_EXHAUSTED/);
    expect(() => ev.toLevel(low, 4)).toThrow(/HE_LEVEL_EXHAUSTED/);
    expect(() => ev.fromSlots(vector(48, 1))).toThrow(/HE_SLOT_COUNT/);
    expect(() => ev.addConstNew(a, Number.NaN)).toThrow(/HE_VALUE_NOT_FINITE/);
    expect(() => ev.addPlainNew(a, ev.encode(vector(64, 1), 4))).toThrow(/HE_PLAIN_PURPOSE/);
    const inner = ev.scope(() => {
      const scratch = ev.negNew(a);
      return { scratch, result: ev.addNew(scratch, a), other: ev.scope(() => [ev.copyNew(scratch)]) };
    });
    expect(inner.result.released || inner.scratch.released).toBe(false);
    expect(() => ev.scope(async () => ev.negNew(a))).toThrow(/HE_SCOPE_ASYNC/);
    const lost = ev.scope(() => ({ nested: [ev.copyNew(a)] }));
    expect(() => ev.negNew(lost.nested[0])).toThrow(/HE_USE_AFTER_RELEASE/);
  });

  it('adds the rounding noise that the ring degree and the secret weight imply', () => {
    const wide = 1 << 13;
    const ev = createCleartextEvaluator({ slots: wide, levels: 2, logScale: 30, noise: { seed: 5 } });
    const zero = ev.fromSlots({ re: new Float64Array(wide), im: null });
    const product = ev.mulConstNew(zero, 0);
    const rescale = (Math.sqrt(((4 / 3) * wide + 1) / 12) * Math.sqrt(wide)) / 2 ** 30;
    expect(rms(product.re) / rescale).toBeGreaterThan(0.97);
    expect(rms(product.re) / rescale).toBeLessThan(1.03);
    expect(rms(product.im!) / rescale).toBeCloseTo(1, 1);
    // A plaintext of one has only its own rounding, sqrt(n/12) units a component.
    const ones = ev.encode({ re: new Float64Array(wide).fill(1), im: null }, 1);
    const base = ev.fromSlots({ re: new Float64Array(wide).fill(1024), im: null }, 1);
    const spread = ev.mulPlainNew(base, ones).re.map((v) => v - 1024);
    const expected = Math.hypot((1024 * Math.sqrt(wide / 12)) / 2 ** 30, rescale);
    expect(rms(spread) / expected).toBeGreaterThan(0.95);
    expect(rms(spread) / expected).toBeLessThan(1.05);
  });

  it('counts work and traces results', () => {
    const seen: string[] = [];
    const ev = createCleartextEvaluator(plain, { trace: (e) => seen.push(`${e.name}@${e.level}`) });
    const a = ev.fromSlots(vector(64, 1));
    ev.dotNew([a, a], [a, a]);
    ev.rotateManyNew(a, [0, 1, 2]);
    expect(ev.counts).toMatchObject({ products: 2, relinearisations: 1, rotations: 2, rescales: 1 });
    expect(seen).toContain('dot@3');
  });
});

describe('CleartextRefresher', () => {
  it('restores levels with noise relative to its range, and traps escapes', async () => {
    const ev = createCleartextEvaluator({ slots: 4096, levels: 6, logScale: 40, bottomLevel: 2, noise: {} });
    const refresher = new CleartextRefresher(ev, { range: 4, bits: 20, outputLevel: 5 });
    const a = ev.fromSlots(vector(4096, 1), 2);
    const b = await refresher.refresh(a);
    expect(b.level).toBe(5);
    const error = rms(b.re.map((v, i) => v - a.re[i])) / (4 * 2 ** -20);
    expect(error).toBeGreaterThan(0.95);
    expect(error).toBeLessThan(1.05);
    expect(refresher.count).toBe(1);
    await expect(refresher.refresh(ev.toLevel(a, 1))).rejects.toThrow(/HE_LEVEL_EXHAUSTED/);
    await expect(refresher.refresh(ev.mulIntegerNew(a, 100))).rejects.toThrow(/HE_REFRESH_RANGE/);
    const counting = new CleartextRefresher(ev, { hardLimit: 2, onEscape: 'count' });
    await counting.refresh(ev.mulIntegerNew(a, 100));
    expect(counting.escapes).toBe(1);
  });

  it('keeps what the shape of the slots promises, and finds what it denies', async () => {
    const ev = createCleartextEvaluator(plain);
    const { slots } = ev;
    const refresher = new CleartextRefresher(ev);
    const re = Float64Array.from({ length: slots }, (_, i) => Math.sin(i % 8) + (i < 8 ? 1e-6 : 0));
    const im = Float64Array.from({ length: slots }, (_, i) => 1e-6 * Math.cos(i));
    const fresh = await refresher.refresh(ev.fromSlots({ re, im }), { period: 8, real: true });
    const got = ev.toSlots(fresh);
    expect(got.re.every((v, i) => Math.abs(v - Math.sin(i % 8)) < 2e-6)).toBe(true);
    expect(got.im.every((v) => v === 0)).toBe(true);
    // A single wrong slot is enough.
    const spoilt = (part: Float64Array) => part.map((v, i) => (i === 5 ? v + 0.01 : v));
    const wrong = [
      { re: spoilt(re), im },
      { re, im: spoilt(im) },
    ];
    for (const values of wrong) {
      const refreshed = refresher.refresh(ev.fromSlots(values), { period: 8, real: true });
      await expect(refreshed).rejects.toThrow(/HE_REFRESH_SHAPE/);
      await refresher.refresh(ev.fromSlots(values));
    }
    for (const period of [3, 2 * slots]) {
      await expect(refresher.refresh(ev.fromSlots({ re, im }), { period })).rejects.toThrow(
        /HE_REFRESH_SHAPE/,
      );
    }
  });

  it('imitates the sine of a bootstrapping', async () => {
    const ev = createCleartextEvaluator(plain);
    const refresher = new CleartextRefresher(ev, { messageRatio: 4096 });
    const one = await refresher.refresh(ev.fromSlots({ re: Float64Array.of(1), im: null }));
    expect(1 - one.re[0]).toBeCloseTo((2 * Math.PI) ** 2 / 4096 ** 2 / 6, 10);
  });
});
