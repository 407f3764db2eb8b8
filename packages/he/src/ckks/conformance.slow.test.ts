import { afterAll, describe, it } from 'vitest';
import { createToy } from '../../test-support/toy.js';
import { selectBackend } from '../ring/index.js';
import { createParameters, N15_CLIENT, N16_BOOT } from '../rlwe/index.js';
import { conformanceCases, conformanceRotations } from '../scheme/conformance.js';

describe.each([N15_CLIENT, N16_BOOT])('CKKS on $name', (literal) => {
  const params = createParameters(literal);
  const toy = createToy(params, { backend: selectBackend(), rotations: conformanceRotations });
  const harness = {
    evaluator: toy.evaluator,
    encrypt: toy.encrypt,
    decrypt: toy.decrypt,
    tolerance: 2 ** -20,
    level: params.freshLevel,
    missingRotation: 5,
  };
  afterAll(() => toy.context.ring.dispose());

  it.each(conformanceCases().map((test) => [test.name, test] as const))('%s', (_, test) => {
    toy.evaluator.scope(() => {
      test.run(harness);
    });
  });
});
