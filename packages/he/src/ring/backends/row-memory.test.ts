import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RowMemory } from './row-memory.js';

const rowBytes = 64;
const base = 4096;
const make = (limitRows: number) => new RowMemory({ base, rowBytes, limitRows, commit: () => true });

it('never hands out overlapping runs, and gives everything back', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 9 })), { maxLength: 200 }),
      (steps) => {
        const memory = make(10_000);
        const live = new Map<number, number>();
        for (const [give, rows] of steps) {
          const oldest = live.keys().next().value;
          if (give && oldest !== undefined) {
            memory.free(oldest);
            live.delete(oldest);
          } else {
            const at = memory.alloc(rows);
            for (const [other, otherRows] of live) {
              expect(at + rows * rowBytes <= other || other + otherRows * rowBytes <= at).toBe(true);
            }
            live.set(at, rows);
          }
          const liveRows = [...live.values()].reduce((sum, r) => sum + r, 0);
          expect(memory.use().liveBytes).toBe(liveRows * rowBytes);
        }
        for (const at of live.keys()) memory.free(at);
        expect(memory.alloc(10_000)).toBe(base);
      },
    ),
  );
});

it('knows which addresses are live', () => {
  const memory = make(100);
  const at = memory.alloc(4);
  memory.check(at + rowBytes, 3);
  memory.checkBytes(at + rowBytes + 4, 3 * rowBytes - 4);
  expect(() => memory.check(at + rowBytes, 4)).toThrow('HE_RING_ADDRESS');
  expect(() => memory.checkBytes(at + 4, 4 * rowBytes)).toThrow('HE_RING_ADDRESS');
  expect(() => memory.check(Number.NaN, 1)).toThrow('HE_RING_ADDRESS');
  memory.free(at);
  expect(() => memory.check(at, 1)).toThrow('HE_RING_ADDRESS');
  expect(() => memory.free(at)).toThrow('HE_RING_ADDRESS');
});

it('stays usable after refusing', () => {
  const memory = make(10);
  const at = memory.alloc(6);
  expect(() => memory.alloc(5)).toThrow('HE_OUT_OF_MEMORY');
  expect(memory.alloc(4)).toBe(at + 6 * rowBytes);
});
