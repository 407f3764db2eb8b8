import { describe, expect, it } from 'vitest';
import { createToy } from '../../test-support/toy.js';
import { type Backend, createReferenceBackend, describeBackends, selectBackend } from '../ring/index.js';
import {
  createParameters,
  deserializeCiphertext,
  EvaluationKey,
  EvaluationKeySet,
  insecureBoot,
  RingContext,
  serializeCiphertext,
} from '../rlwe/index.js';
import { CkksEvaluator } from './evaluator.js';

const params = createParameters(insecureBoot(8));
const level = params.freshLevel;
const toy = createToy(params);
const seededKeys = [
  toy.generator.relinearisation(level),
  ...[1, 2, 3, 4].map((k) => toy.generator.rotation(k, level)),
  toy.generator.conjugation(level),
];
const vector = (seed: number) => ({
  re: Float64Array.from({ length: params.maxSlots }, (_, i) => Math.sin(i * seed)),
  im: Float64Array.from({ length: params.maxSlots }, (_, i) => Math.cos(i + seed)),
});
const inputs = [1, 2].map((seed) => serializeCiphertext(toy.encrypt(vector(seed))));

/** One of each operation; the results as bytes. */
function run(backend: Backend): Record<string, Uint8Array> {
  const context = new RingContext(params, backend.createRing({ logN: params.logN, primes: params.primes }));
  const keys = new EvaluationKeySet(
    context,
    seededKeys.map((key) => EvaluationKey.expand(context, key)),
  );
  const ev = new CkksEvaluator(context, keys);
  const [a, b] = inputs.map((bytes) => deserializeCiphertext(context, bytes));
  const diagonals = new Map([0, 1, 2, 3, 4, 5].map((k) => [k, vector(k + 3)] as const));
  const results = {
    product: ev.mulNew(a, b),
    dot: ev.dotNew([a, b], [b, b]),
    turned: ev.rotateNew(a, 2),
    conjugate: ev.conjugateNew(b),
    dropped: ev.toLevel(a, 4),
    constant: ev.mulConstNew(a, 0.3, -0.7),
    plain: ev.mulPlainNew(a, ev.encode(vector(9), level)),
    sum: ev.addPlainNew(ev.addConstNew(a, 1, 2), ev.encodeForAdd(vector(9), level)),
    transform: ev.transformNew(a, ev.compileTransform({ diagonals }, { level, babySteps: 4 })),
  };
  return Object.fromEntries(Object.entries(results).map(([name, ct]) => [name, serializeCiphertext(ct)]));
}

const others = (['wasm', 'native'] as const).filter((name) =>
  describeBackends().some((backend) => backend.name === name && backend.available),
);

describe.skipIf(others.length === 0)('every backend gives the same bits', () => {
  const expected = run(createReferenceBackend());
  it.each(others)('%s', (name) => {
    for (const threads of name === 'native' ? [1, 2] : [1]) {
      const got = run(selectBackend({ name, threads }));
      for (const [operation, bytes] of Object.entries(expected)) {
        expect(Buffer.compare(bytes, got[operation]), operation).toBe(0);
      }
    }
  });
});
