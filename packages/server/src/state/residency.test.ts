import { SottoError } from '@sotto/base';
import { expect, it } from 'vitest';
import { Residency, type ResidencyOptions, type Resident } from './residency.js';

const never = new AbortController().signal;
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

function bench(options: Partial<ResidencyOptions> = {}) {
  const clock = { ms: 0 };
  const residency = new Residency({
    ...{ budgetBytes: 100, most: 10, keepMs: 0, nowMs: () => clock.ms },
    ...options,
  });
  const evicted: string[] = [];
  const resident = (name: string, lastUseMs = 0) => {
    const made = {
      name,
      lastUseMs,
      evictable: true,
      async evict() {
        evicted.push(name);
      },
    };
    return made satisfies Resident;
  };
  return { clock, residency, evicted, resident };
}

it('lets in what fits, and makes room by what was idle the longest', async () => {
  const { clock, residency, evicted, resident } = bench();
  clock.ms = 100;
  const [a, b, c] = [resident('a', 3), resident('b', 1), resident('c', 2)];
  for (const one of [a, b, c]) await residency.enter(one, 30, never);
  expect([residency.heldBytes, residency.count, evicted]).toEqual([90, 3, []]);
  await residency.enter(resident('d', 9), 40, never);
  expect(evicted).toEqual(['b']);
  b.lastUseMs = 10;
  await residency.enter(b, 60, never);
  expect(evicted).toEqual(['b', 'c', 'a']);
  expect(residency.heldBytes).toBe(100);
});

it('never takes the memory of what is in use: the next one waits, in order', async () => {
  const { residency, evicted, resident } = bench({ most: 1 });
  const [a, b, c] = [resident('a'), resident('b'), resident('c')];
  a.evictable = false;
  b.evictable = false;
  await residency.enter(a, 1, never);
  const order: string[] = [];
  const entering = [b, c].map((one) => residency.enter(one, 1, never).then(() => order.push(one.name)));
  await settled();
  expect([order, residency.waiting, residency.isWaiting(b)]).toEqual([[], 2, true]);
  expect(await residency.tryEnter(resident('d'), 1)).toBe(false);
  a.evictable = true;
  residency.changed();
  await settled();
  expect([order, evicted]).toEqual([['b'], ['a']]);
  // What is in may come in again although others wait.
  await residency.enter(b, 1, never);
  residency.leave(b);
  await Promise.all(entering);
  expect([order, evicted, residency.count]).toEqual([['b', 'c'], ['a'], 1]);
});

it('evicts nothing when that would not be enough', async () => {
  const { residency, evicted, resident } = bench();
  const [idle, busy] = [resident('idle'), resident('busy')];
  busy.evictable = false;
  await residency.enter(idle, 20, never);
  await residency.enter(busy, 70, never);
  expect(await residency.tryEnter(resident('large'), 40)).toBe(false);
  expect(evicted).toEqual([]);
  expect(await residency.tryEnter(resident('small'), 30)).toBe(true);
  expect(evicted).toEqual(['idle']);
});

it('leaves idle keys for a moment, but not for ever', async () => {
  const { clock, residency, evicted, resident } = bench({ most: 1, keepMs: 1000, patienceMs: 5000 });
  const a = resident('a');
  await residency.enter(a, 1, never);
  const entering = residency.enter(resident('b'), 1, never);
  clock.ms = 999;
  residency.changed();
  await settled();
  expect(evicted).toEqual([]);
  // Used again and again: the one that waits loses its patience.
  a.lastUseMs = clock.ms = 5000;
  residency.changed();
  await entering;
  expect(evicted).toEqual(['a']);
});

it('forgets who gives up, and refuses what never fits', async () => {
  const { residency, resident } = bench({ most: 1 });
  const [a, b, c] = [resident('a'), resident('b'), resident('c')];
  a.evictable = false;
  await residency.enter(a, 1, never);
  const cancel = new AbortController();
  const first = residency.enter(b, 1, cancel.signal);
  const second = residency.enter(c, 1, never);
  cancel.abort(new SottoError('Gone.', { code: 'JOB_CANCELLED' }));
  await expect(first).rejects.toThrow('JOB_CANCELLED');
  residency.leave(a);
  await second;
  expect([residency.count, residency.waiting]).toEqual([1, 0]);
  await expect(residency.enter(resident('x'), 101, never)).rejects.toThrow(/MEMORY_INSUFFICIENT/);
});
