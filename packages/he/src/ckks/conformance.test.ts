import { describe, expect, it } from 'vitest';
import { createToy } from '../../test-support/toy.js';
import { type Backend, createReferenceBackend, describeBackends, selectBackend } from '../ring/index.js';
import { createParameters, insecureBoot, insecureClient, type ParametersLiteral } from '../rlwe/index.js';
import { conformanceCases, conformanceRotations } from '../scheme/conformance.js';
import type { PlaintextForm } from './plaintext.js';

interface Setting {
  readonly name: string;
  readonly backend: () => Backend;
  readonly literal: ParametersLiteral;
  readonly tolerance: number;
  readonly plaintexts?: PlaintextForm;
}

const settings: Setting[] = [
  {
    name: 'client chain',
    backend: createReferenceBackend,
    literal: insecureClient(8, 5),
    tolerance: 2 ** -24,
  },
  {
    name: 'client chain, plaintexts as coefficients',
    backend: createReferenceBackend,
    literal: insecureClient(8, 5),
    tolerance: 2 ** -24,
    plaintexts: 'coefficients',
  },
  {
    name: 'client chain, tiny ring',
    backend: createReferenceBackend,
    literal: insecureClient(6, 4),
    tolerance: 2 ** -25,
  },
  {
    name: 'bootstrapping chain',
    backend: createReferenceBackend,
    literal: insecureBoot(7),
    tolerance: 2 ** -24,
  },
];

for (const name of ['wasm', 'native'] as const) {
  const found = describeBackends().filter((backend) => backend.name === name);
  if (!found.some(({ available }) => available)) {
    console.warn(`The ${name} backend is left out: ${found.map(({ reason }) => reason).join('; ')}`);
    continue;
  }
  const backend = () => selectBackend({ name, threads: 1 });
  settings.push(
    { name: `client chain, ${name}`, backend, literal: insecureClient(10, 5), tolerance: 2 ** -23 },
    { name: `bootstrapping chain, ${name}`, backend, literal: insecureBoot(10), tolerance: 2 ** -23 },
  );
}

describe.each(settings)('CKKS on $name', ({ backend, literal, tolerance, plaintexts = 'rows' }) => {
  const params = createParameters(literal);
  const toy = createToy(params, { backend: backend(), rotations: conformanceRotations, plaintexts });
  const harness = {
    evaluator: toy.evaluator,
    encrypt: toy.encrypt,
    decrypt: toy.decrypt,
    tolerance,
    level: params.freshLevel,
    missingRotation: 5,
  };
  it.each(conformanceCases().map((test) => [test.name, test] as const))('%s', (_, test) => {
    toy.evaluator.scope(() => {
      test.run(harness);
    });
  });

  it('gives all memory back', () => {
    const live = toy.context.ring.memory().liveBytes;
    for (const test of conformanceCases()) toy.evaluator.scope(() => test.run(harness));
    // Plaintexts and kept ciphertexts of the cases are the caller's: one of each.
    const rows = params.levels[params.freshLevel].basis.length;
    expect(toy.context.ring.memory().liveBytes - live).toBeLessThanOrEqual(4 * rows * 4 * params.n);
  });
});
