import { describe, it } from 'vitest';
import { createParameters, insecureBoot } from '../rlwe/index.js';
import { conformanceCases } from '../scheme/conformance.js';
import { type CleartextEvaluator, createCleartextEvaluator } from './index.js';

function harness(evaluator: CleartextEvaluator, level: number, tolerance: number) {
  return {
    evaluator,
    level,
    tolerance,
    missingRotation: null,
    encrypt: (values: { re: Float64Array; im: Float64Array | null }, at: number) =>
      evaluator.fromSlots(values, at),
    decrypt: (a: Parameters<CleartextEvaluator['toSlots']>[0]) => evaluator.toSlots(a),
  };
}

const params = createParameters(insecureBoot(10));
const schemes = {
  'a light description': () =>
    harness(createCleartextEvaluator({ slots: 512, levels: 6, logScale: 40 }), 6, 2 ** -40),
  'real parameters with their noise': () =>
    harness(createCleartextEvaluator(params), params.freshLevel, 2 ** -24),
};

for (const [name, make] of Object.entries(schemes)) {
  describe(`cleartext evaluator of ${name}`, () => {
    for (const test of conformanceCases()) it(test.name, () => test.run(make()));
  });
}
