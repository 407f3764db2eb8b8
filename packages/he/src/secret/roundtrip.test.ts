import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../ring/index.js';
import {
  createParameters,
  EvaluationKey,
  EvaluationKeySet,
  expandCiphertext,
  insecureBoot,
  insecureClient,
  KeySwitcher,
  RingContext,
} from '../rlwe/index.js';
import { Decryptor } from './decryptor.js';
import { Encryptor } from './encryptor.js';
import { KeyGenerator } from './key-generator.js';
import { SecretKey } from './secret-key.js';

const params = createParameters(insecureBoot(10));
const context = new RingContext(
  params,
  createReferenceBackend().createRing({ logN: params.logN, primes: params.primes }),
);
const secret = SecretKey.generate(params);
const encryptor = new Encryptor(context, secret);
const decryptor = new Decryptor(context, secret);
const n = params.n;

const message = Float64Array.from({ length: n }, (_, i) => Math.round(2 ** 40 * Math.sin(i + 1)));

function largestError(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < n; i++) worst = Math.max(worst, Math.abs(got[i] - expected[i]));
  return worst;
}

describe('encryption', () => {
  it('decrypts to the message plus an error within the tail, at every level', () => {
    for (const level of [0, 1, 5, params.freshLevel, params.levels.length - 1]) {
      using ct = encryptor.encryptNew(message, level);
      const error = largestError(decryptor.decrypt(ct), message);
      expect(error).toBeGreaterThan(3);
      expect(error).toBeLessThan(30);
      expect(decryptor.decryptCoefficients(ct).map(Number)).toEqual([...decryptor.decrypt(ct)]);
    }
  });

  it('keeps its error on messages beyond the precision of doubles', () => {
    const large = message.map((c) => 2 ** 20 * c);
    using ct = encryptor.encryptNew(large, params.freshLevel);
    const errors = decryptor.decryptCoefficients(ct).map((c, i) => Number(c - BigInt(large[i])));
    expect(Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / n)).toBeGreaterThan(2.5);
  });

  it('expands seeded ciphertexts to the same phase', () => {
    using ct = expandCiphertext(context, encryptor.encryptSeeded(message, 4));
    expect(largestError(decryptor.decrypt(ct), message)).toBeLessThan(30);
  });

  it('falls back to all primes when the phase does not fit three', () => {
    using ct = encryptor.encryptNew(message, params.freshLevel);
    const factor = 2 ** 80;
    context.ring.mulConst(ct.c0, ct.c0, context.residues(factor, ct.basis), ct.basis);
    context.ring.mulConst(ct.c1, ct.c1, context.residues(factor, ct.basis), ct.basis);
    expect(
      largestError(
        decryptor.decrypt(ct).map((c) => c / factor),
        message,
      ),
    ).toBeLessThan(30);
  });
});

describe('key switching', () => {
  const switcher = new KeySwitcher(context);
  const generator = new KeyGenerator(context, secret);

  it.each([4, 8, params.freshLevel, params.levels.length - 1])('rotates at level %i', (maxLevel) => {
    const galois = context.galoisOfRotation(3);
    const key = EvaluationKey.expand(context, generator.rotation(3, maxLevel));
    for (const level of [0, 2, maxLevel]) {
      using ct = encryptor.encryptNew(message, level);
      using pair = switcher.switchNew(ct.c1, ct.basis, key);
      switcher.addTimesP(pair.c0, ct.c0, ct.basis, key.plan);
      using out = encryptor.encryptNew(new Float64Array(n), level);
      using sum = encryptor.encryptNew(new Float64Array(n), level);
      switcher.modDown(sum.c0, sum.c1, ct.basis, pair);
      context.ring.permute(out.c0, sum.c0, galois, ct.basis);
      context.ring.permute(out.c1, sum.c1, galois, ct.basis);
      const expected = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        const exponent = (i * galois) % (2 * n);
        expected[exponent % n] = exponent < n ? message[i] : -message[i];
      }
      expect(largestError(decryptor.decrypt(out), expected)).toBeLessThan(200);
    }
    key.release();
  });

  it('goes to the ephemeral secret and back', () => {
    const toSparse = EvaluationKey.expand(context, generator.make({ kind: 'denseToSparse' }, 0));
    const toDense = EvaluationKey.expand(context, generator.make({ kind: 'sparseToDense' }, 0));
    using ct = encryptor.encryptNew(
      message.map((c) => c / 2 ** 5),
      0,
    );
    using sparse = encryptor.encryptNew(new Float64Array(n), 0);
    using pair = switcher.switchNew(ct.c1, ct.basis, toSparse);
    switcher.addTimesP(pair.c0, ct.c0, ct.basis, toSparse.plan);
    switcher.modDown(sparse.c0, sparse.c1, ct.basis, pair);

    const top = params.bootstrap!.top;
    using raised = encryptor.encryptNew(new Float64Array(n), top);
    using digits = switcher.raise(sparse.c1, toDense.plan);
    using back = switcher.newPair(digits.basis);
    switcher.innerProduct(digits, toDense, back);
    using lifted = context.scratch(raised.basis.size);
    context.ring.extend(lifted.at, raised.basis, sparse.c0, sparse.basis);
    switcher.addTimesP(back.c0, lifted.at, raised.basis, toDense.plan);
    switcher.modDown(raised.c0, raised.c1, raised.basis, back);
    const q0 = params.levels[0].basis.reduce((product, i) => product * BigInt(params.primes[i]), 1n);
    const coefficients = decryptor.decryptCoefficients(raised);
    let largestMultiple = 0n;
    const rest = coefficients.map((c, i) => {
      let multiple = (2n * (c - BigInt(Math.round(message[i] / 32))) + q0) / (2n * q0);
      while (c - multiple * q0 > q0 / 2n) multiple++;
      while (c - multiple * q0 < -q0 / 2n) multiple--;
      if (multiple < 0n) multiple = -multiple;
      if (multiple > largestMultiple) largestMultiple = multiple;
      const low = ((c % q0) + q0) % q0;
      return Number(low > q0 / 2n ? low - q0 : low) - message[i] / 32;
    });
    expect(largestError(rest, new Float64Array(n))).toBeLessThan(200);
    expect(Number(largestMultiple)).toBeGreaterThan(0);
    expect(Number(largestMultiple)).toBeLessThanOrEqual(16);
  });

  it('names a missing key', () => {
    const keys = new EvaluationKeySet(context, [EvaluationKey.expand(context, generator.rotation(1, 4))]);
    const find = (k: number, level: number) => () =>
      keys.get({ kind: 'galois', galois: context.galoisOfRotation(k) }, level);
    expect(find(1, 4)().maxLevel).toBe(4);
    expect(find(1, 5)).toThrow(/rotation 1 .*at level 5/);
    expect(find(7, 2)).toThrow(
      expect.objectContaining({ code: 'HE_KEY_MISSING', facts: expect.objectContaining({ rotation: 7 }) }),
    );
    keys.release();
  });
});

describe('misuse', () => {
  it('refuses a secret of other parameters and a disposed one', () => {
    const other = createParameters(insecureClient(10, 4));
    expect(() => new Encryptor(context, SecretKey.generate(other))).toThrow(
      expect.objectContaining({ code: 'HE_PARAMETERS_MISMATCH' }),
    );
    const gone = SecretKey.generate(params);
    gone.dispose();
    expect(() => gone.main).toThrow(expect.objectContaining({ code: 'HE_SECRET_DISPOSED' }));
  });
});
