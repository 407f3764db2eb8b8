import { expect, it, vi } from 'vitest';
import { createToy } from '../../test-support/toy.js';
import { createWasmBackend } from '../ring/index.js';
import { createParameters, insecureClient } from '../rlwe/index.js';

const params = createParameters(insecureClient(10, 4));

it('asks for no memory beyond its first round of operations', () => {
  const toy = createToy(params, { rotations: [1, 2, 3], backend: createWasmBackend({ threads: 1 }) });
  const { evaluator: ev, context } = toy;
  const { ring } = context;
  const values = { re: Float64Array.from({ length: params.maxSlots }, (_, i) => Math.cos(i)), im: null };
  const [x, y] = [toy.encrypt(values), toy.encrypt(values)];
  const factor = ev.encode(values, params.freshLevel);
  const round = () =>
    ev.scope(() => {
      const product = ev.mulNew(x, y);
      ev.rotateManyNew(product, [1, 2, 3]);
      ev.addNew(ev.rotateNew(product, 2), ev.mulPlainNew(x, factor));
      ev.toLevel(product, params.bottomLevel);
      ev.squareNew(product);
    });
  const seen = new Set<number>();
  const alloc = ring.alloc.bind(ring);
  let fresh = 0;
  let calls = 0;
  vi.spyOn(ring, 'alloc').mockImplementation((rows) => {
    const at = alloc(rows);
    calls++;
    if (!seen.has(at)) fresh++;
    seen.add(at);
    return at;
  });
  round();
  expect(fresh).toBeGreaterThan(0);
  const { peakBytes, liveBytes } = ring.memory();
  const grow = vi.spyOn(WebAssembly.Memory.prototype, 'grow');
  [fresh, calls] = [0, 0];
  for (let i = 0; i < 3; i++) round();
  expect(calls).toBeGreaterThan(30);
  expect({ fresh, grown: grow.mock.calls.length }).toEqual({ fresh: 0, grown: 0 });
  expect(ring.memory()).toEqual({ peakBytes, liveBytes });
  vi.restoreAllMocks();
});
