import { selectBackend } from '@sotto/he/ring';
import {
  createParameters,
  type EvaluationKeyId,
  evaluationKeyPlan,
  evaluationKeyWireBytes,
  insecureBoot,
} from '@sotto/he/rlwe';
import { expect, it } from 'vitest';
import { Vault } from '../packages/client/src/vault.js';

it('keys have exactly the size that a key list forecasts', () => {
  const params = createParameters(insecureBoot(10));
  const vault = new Vault(params, selectBackend({ name: 'wasm' }));
  const top = params.levels.length - 1;
  const ids: [EvaluationKeyId, number][] = [
    [{ kind: 'relin' }, params.freshLevel],
    [{ kind: 'galois', galois: 5 }, top],
    [{ kind: 'galois', galois: 25 }, 2],
    [{ kind: 'denseToSparse' }, 0],
    [{ kind: 'sparseToDense' }, top],
  ];
  for (const [id, level] of ids) {
    const forecast = evaluationKeyWireBytes(params, evaluationKeyPlan(params, id, level));
    expect(vault.makeKey(id, level).length).toBe(forecast);
  }
});
