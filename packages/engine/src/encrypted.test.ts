import { CkksEvaluator, Encoder } from '@sotto/he/ckks';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import { selectBackend } from '@sotto/he/ring';
import {
  type Ciphertext,
  createParameters,
  EvaluationKey,
  EvaluationKeySet,
  expandCiphertext,
  insecureClient,
  RingContext,
} from '@sotto/he/rlwe';
import type { Refresher, SlotVector } from '@sotto/he/scheme';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '@sotto/he/secret';
import { forward, KvCache } from '@sotto/model';
import { expect, test } from 'vitest';
import { EncryptedTransformer, embedRows, makePlan, readHidden, tinyTestModel } from './index.js';

const params = createParameters(insecureClient(11, 12));
const context = new RingContext(
  params,
  selectBackend({ name: 'wasm' }).createRing({ logN: params.logN, primes: params.primes }),
);
const secret = SecretKey.generate(params);
const encryptor = new Encryptor(context, secret);
const decryptor = new Decryptor(context, secret);
const encoder = new Encoder(context.ring);

const encrypt = (values: SlotVector, level: number): Ciphertext => {
  const { scale } = context.level(level);
  return expandCiphertext(context, encryptor.encryptSeeded(encoder.embed(values, scale), level));
};
const decrypt = (a: Ciphertext) => encoder.project(decryptor.decrypt(a), a.scale);

/** Decrypts and encrypts anew. */
class LocalRefresher implements Refresher<Ciphertext> {
  readonly outputLevel = params.freshLevel;
  readonly inputLevel = params.bottomLevel;
  readonly range = 1;
  count = 0;

  async refresh(a: Ciphertext): Promise<Ciphertext> {
    this.count++;
    return encrypt(decrypt(a), this.outputLevel);
  }
}

test.each([
  ['three public tokens', 3, {}, 26],
  ['a public part of two pages', 120, {}, 26],
  ['three public tokens, by kernels,', 3, { attention: 'kernel4-rms', gate: 'bilinear' }, 11],
] as const)(
  'two encrypted blocks after %s follow the cleartext scheme at every step',
  async (_, publicTokens, shape, lastStep) => {
    const { model, calibration } = tinyTestModel(1, { contextLength: 300, ...shape });
    const levels = { topLevel: params.freshLevel, bottomLevel: params.bottomLevel };
    const plan = await makePlan(model, calibration, { slots: params.maxSlots, ...levels, blockRows: 4 });
    const generator = new KeyGenerator(context, secret);
    const { rotations, conjugationLevel, relinearisationLevel } = plan.keys;
    const rotationLevel = Math.max(...rotations.map(({ level }) => level));
    const seeded = [
      generator.relinearisation(relinearisationLevel),
      generator.conjugation(conjugationLevel),
      ...rotations.map(({ rotation }) => generator.rotation(rotation, rotationLevel)),
    ];
    const keys = new EvaluationKeySet(
      context,
      seeded.map((key) => EvaluationKey.expand(context, key)),
    );
    const evaluator = new CkksEvaluator(context, keys);
    const refresher = new LocalRefresher();
    const seen: { name: string; level: number; values: Float64Array }[] = [];
    const transformer = new EncryptedTransformer({
      model,
      calibration,
      plan,
      evaluator,
      refresher,
      trace: ({ layer, name, level, value }) =>
        seen.push({ name: `${layer} ${name}`, level, values: decrypt(value).re }),
    });

    const clear = createCleartextEvaluator(params, { noise: null });
    const expected: typeof seen = [];
    const twin = new EncryptedTransformer({
      model,
      calibration,
      plan,
      evaluator: clear,
      refresher: new CleartextRefresher(clear),
      trace: ({ layer, name, level, value }) =>
        expected.push({ name: `${layer} ${name}`, level, values: clear.toSlots(value).re }),
    });

    const open = [1, ...Array.from({ length: publicTokens - 1 }, (_, i) => 3 + ((7 * i) % 20))];
    // Of the first block, the last row is dropped.
    const blocks = [[4, 9, 11, 3], [8]];
    const talk = transformer.conversation(open);
    const twinTalk = twin.conversation(open);
    const hidden: Float64Array[] = [];
    for (const tokens of blocks) {
      const input = embedRows(model, plan.client, tokens);
      const out = await transformer.forward(talk, encrypt(input, plan.client.inputLevel), tokens.length);
      await twin.forward(twinTalk, clear.fromSlots(input, plan.client.inputLevel), tokens.length);
      hidden.push(...readHidden(plan.client, decrypt(out), tokens.length));
      out.release();
      if (tokens.length === 1) continue;
      talk.cache.drop(1);
      twinTalk.cache.drop(1);
      hidden.pop();
    }
    expect(refresher.count).toBe(2 * plan.refreshes);
    expect(seen.map(({ name, level }) => `${name} at ${level}`)).toEqual(
      expected.map(({ name, level }) => `${name} at ${level}`),
    );
    const wrong = seen.filter(({ values }, i) =>
      values.some((value, slot) => Math.abs(value - expected[i]!.values[slot]!) > 2 ** -12),
    );
    expect(wrong.map(({ name }) => name)).toEqual([]);

    // A stopped pass leaves no ciphertext behind, wherever it stops.
    const { liveBytes } = context.ring.memory();
    for (let stopAt = 1; stopAt <= lastStep; stopAt += 3) {
      const stop = new AbortController();
      let steps = 0;
      const input = encrypt(embedRows(model, plan.client, [5]), plan.client.inputLevel);
      const stopped = transformer.forward(talk, input, 1, {
        signal: stop.signal,
        progress: () => {
          if (++steps === stopAt) stop.abort();
        },
      });
      await expect(stopped).rejects.toThrow(/ENGINE_ABORTED/);
      input.release();
      expect(context.ring.memory().liveBytes).toBe(liveBytes);
    }

    const want = forward(model, [...open, 4, 9, 11, 8], new KvCache(2)).hidden.slice(open.length);
    hidden.forEach((row, r) => {
      row.forEach((value, f) => {
        // The ranges were measured on texts of 32 tokens.
        expect(Math.abs(value - want[r]![f]!)).toBeLessThan(publicTokens > 32 ? 0.02 : 5e-3);
      });
    });
  },
  60_000,
);
