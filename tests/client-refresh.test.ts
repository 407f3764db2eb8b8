import { CkksEvaluator } from '@sotto/he/ckks';
import { selectBackend } from '@sotto/he/ring';
import {
  createParameters,
  deserializeEvaluationKey,
  deserializeSeededCiphertext,
  EvaluationKey,
  EvaluationKeySet,
  expandCiphertext,
  insecureClient,
  RingContext,
  serializeCiphertext,
} from '@sotto/he/rlwe';
import { expect, it } from 'vitest';
import { Vault } from '../packages/client/src/vault.js';
import { ClientRefresher } from '../packages/server/src/engine/client-refresher.js';

const params = createParameters(insecureClient(10, 4));
const vault = new Vault(params, selectBackend({ name: 'wasm' }));
const ring = selectBackend({ name: 'wasm' }).createRing({ logN: params.logN, primes: params.primes });
const context = new RingContext(params, ring);
const relin = deserializeEvaluationKey(params, vault.makeKey({ kind: 'relin' }, params.freshLevel));
const evaluator = new CkksEvaluator(
  context,
  new EvaluationKeySet(context, [EvaluationKey.expand(context, relin)]),
);
const values = {
  re: Float64Array.from({ length: 16 }, (_, i) => Math.sin(i)),
  im: Float64Array.from({ length: 16 }, (_, i) => Math.cos(3 * i)),
};
const receive = (bytes: Uint8Array) => expandCiphertext(context, deserializeSeededCiphertext(params, bytes));

function largestError(bytes: Uint8Array, expected: typeof values): number {
  const got = vault.decrypt(bytes, 16);
  let worst = 0;
  for (let i = 0; i < 16; i++) {
    worst = Math.max(worst, Math.abs(got.re[i]! - expected.re[i]!), Math.abs(got.im[i]! - expected.im[i]!));
  }
  return worst;
}

it('gives levels back without changing the values, over and over', async () => {
  let exchanged = 0;
  const refresher = new ClientRefresher(context, evaluator, async (bytes) => {
    exchanged += bytes.length;
    return vault.refresh(bytes);
  });
  let at = receive(vault.encrypt(values));
  const expected = { re: values.re.slice(), im: values.im.slice() };
  for (let round = 0; round < 3; round++) {
    at = await refresher.refresh(evaluator.squareNew(at));
    expect(at.level).toBe(params.freshLevel);
    for (let i = 0; i < 16; i++) {
      const [re, im] = [expected.re[i]!, expected.im[i]!];
      expected.re[i] = re * re - im * im;
      expected.im[i] = 2 * re * im;
    }
    expect(largestError(serializeCiphertext(at), expected)).toBeLessThan(2 ** -20);
  }
  expect(refresher.count).toBe(3);
  expect(exchanged).toBeGreaterThan(0);
});

it('comes back at the level that the plan wants', async () => {
  const refreshAt = (asked: number, given: number) =>
    new ClientRefresher(context, evaluator, async (bytes) => vault.refresh(bytes, given), asked).refresh(
      receive(vault.encrypt(values)),
    );
  const at = await refreshAt(2, 2);
  expect(at.level).toBe(2);
  expect(largestError(serializeCiphertext(at), values)).toBeLessThan(2 ** -20);
  await expect(refreshAt(2, 3)).rejects.toThrow(/REFRESH_LEVEL/);
});

it('refuses an answer that is not fresh, or for other parameters', async () => {
  const answerWith = (bytes: Uint8Array) =>
    new ClientRefresher(context, evaluator, async () => bytes).refresh(receive(vault.encrypt(values)));
  await expect(answerWith(vault.encrypt(values, 1))).rejects.toThrow(/REFRESH_LEVEL/);
  const other = new Vault(createParameters(insecureClient(10, 5)), selectBackend({ name: 'wasm' }));
  await expect(answerWith(other.encrypt(values))).rejects.toThrow(/HE_PARAMETERS_MISMATCH/);
  await expect(answerWith(vault.encrypt(values).slice(0, 100))).rejects.toThrow(/DATA_TRUNCATED/);
});

it('refreshes nothing that an honest server would not send', () => {
  const fresh = receive(vault.encrypt(values));
  expect(() => vault.refresh(serializeCiphertext(fresh))).toThrow(/REFRESH_LEVEL/);
  const escaped = { re: values.re.map((v) => 1000 * v), im: null };
  const low = evaluator.toLevel(receive(vault.encrypt(escaped)), params.bottomLevel);
  expect(() => vault.refresh(serializeCiphertext(low))).toThrow(/REFRESH_ESCAPED/);
  const relabelled = evaluator.relabelNew(evaluator.toLevel(fresh, params.bottomLevel), 2 ** 30);
  expect(() => vault.refresh(serializeCiphertext(relabelled))).toThrow(/REFRESH_LEVEL/);
});

it('gives nothing any more when the vault is disposed of', () => {
  const closed = new Vault(params, selectBackend({ name: 'wasm' }));
  closed.dispose();
  expect(() => closed.encrypt(values)).toThrow();
});
