import { SottoError } from '@sotto/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createToy } from '../../test-support/toy.js';
import { deserializeSecretKey, SecretKey, serializeSecretKey } from '../secret/index.js';
import {
  createParameters,
  deserializeCiphertext,
  deserializeEvaluationKey,
  deserializeSeededCiphertext,
  EvaluationKey,
  evaluationKeyPlan,
  evaluationKeyWireBytes,
  expandCiphertext,
  insecureBoot,
  insecureClient,
  openEnvelope,
  peekEnvelope,
  sealEnvelope,
  serializeCiphertext,
  serializeEvaluationKey,
  serializeSeededCiphertext,
} from './index.js';

const params = createParameters(insecureBoot(5));
const toy = createToy(params);
const other = createParameters(insecureClient(5, 3));
const level = 4;
const values = { re: Float64Array.from({ length: 16 }, (_, i) => Math.sin(i)), im: null };
const coefficients = toy.evaluator.encoder.embed(values, params.levels[level].scale);

interface Sample {
  readonly bytes: Uint8Array;
  /** Reads with these parameters and writes again. */
  readonly roundTrip: (bytes: Uint8Array) => Uint8Array;
}

const samples: Record<string, Sample> = {
  ciphertext: {
    bytes: serializeCiphertext(toy.encrypt(values, level)),
    roundTrip: (bytes) => {
      using ct = deserializeCiphertext(toy.context, bytes);
      return serializeCiphertext(ct);
    },
  },
  seededCiphertext: {
    bytes: serializeSeededCiphertext(toy.encryptor.encryptSeeded(coefficients, level)),
    roundTrip: (bytes) => serializeSeededCiphertext(deserializeSeededCiphertext(params, bytes)),
  },
  'Galois key': {
    bytes: serializeEvaluationKey(toy.generator.rotation(3, level)),
    roundTrip: (bytes) => serializeEvaluationKey(deserializeEvaluationKey(params, bytes)),
  },
  'relinearisation key': {
    bytes: serializeEvaluationKey(toy.generator.relinearisation(level, { digits: 2 })),
    roundTrip: (bytes) => serializeEvaluationKey(deserializeEvaluationKey(params, bytes)),
  },
  'encapsulation key': {
    bytes: serializeEvaluationKey(toy.generator.make({ kind: 'denseToSparse' }, 0)),
    roundTrip: (bytes) => serializeEvaluationKey(deserializeEvaluationKey(params, bytes)),
  },
  'secret key': {
    bytes: serializeSecretKey(toy.secret),
    roundTrip: (bytes) => serializeSecretKey(deserializeSecretKey(params, bytes)),
  },
};

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (SottoError.is(error)) return error.code;
    throw error;
  }
  return 'none';
}

describe.each(Object.entries(samples))('%s', (_, { bytes, roundTrip }) => {
  it('comes back as it was', () => {
    expect(roundTrip(bytes)).toEqual(bytes);
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(roundTrip(shifted.subarray(3))).toEqual(bytes);
  });

  it('does not survive truncation or bytes at its end', () => {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (length) => {
        expect(codeOf(() => roundTrip(bytes.subarray(0, length)))).toBe('DATA_TRUNCATED');
      }),
    );
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(codeOf(() => roundTrip(longer))).toBe('DATA_TRAILING_BYTES');
  });

  it('does not survive a flipped bit', () => {
    const flip = (bit: number) => {
      const damaged = bytes.slice();
      damaged[bit >> 3] ^= 1 << (bit & 7);
      return codeOf(() => roundTrip(damaged));
    };
    // Every bit of the header, then samples of the body.
    for (let bit = 0; bit < 8 * 90; bit++) expect(flip(bit)).toMatch(/^DATA_/);
    fc.assert(
      fc.property(fc.integer({ min: 8 * 90, max: 8 * bytes.length - 1 }), (bit) => {
        expect(flip(bit)).toBe('DATA_CHECKSUM');
      }),
    );
  });

  it('never crashes on a body of noise behind a valid checksum', () => {
    const { type } = peekEnvelope(bytes);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (body) => {
        const forged = sealEnvelope(type, params.digest, (writer) => writer.bytes(body));
        expect(codeOf(() => roundTrip(forged))).toMatch(/^(DATA_|HE_)/);
      }),
    );
  });

  it('refuses other parameters and other kinds', () => {
    const { type } = peekEnvelope(bytes);
    const body = openEnvelope(bytes, type, params.digest);
    const content = body.bytes(body.remaining);
    const foreign = sealEnvelope(type, other.digest, (writer) => writer.bytes(content));
    expect(codeOf(() => roundTrip(foreign))).toBe('HE_PARAMETERS_MISMATCH');
    const otherType = type === 'ciphertext' ? 'secretKey' : 'ciphertext';
    const mistyped = sealEnvelope(otherType, params.digest, (writer) => writer.bytes(content));
    expect(codeOf(() => roundTrip(mistyped))).toBe('DATA_TYPE');
  });
});

describe('contents', () => {
  it('has the size foretold', () => {
    for (const id of [{ kind: 'galois', galois: 5 }, { kind: 'relin' }, { kind: 'sparseToDense' }] as const) {
      for (const maxLevel of [0, 3, params.freshLevel]) {
        const bytes = serializeEvaluationKey(toy.generator.make(id, maxLevel));
        const plan = evaluationKeyPlan(params, id, maxLevel);
        expect(bytes.length).toBe(evaluationKeyWireBytes(params, plan));
      }
    }
  });

  it('refuses residues that are not reduced, wrong levels and scales', () => {
    const forge = (change: (body: DataView) => void) => {
      const reader = openEnvelope(samples.ciphertext.bytes, 'ciphertext', params.digest);
      const body = reader.bytes(reader.remaining).slice();
      change(new DataView(body.buffer));
      const forged = sealEnvelope('ciphertext', params.digest, (writer) => writer.bytes(body));
      return codeOf(() => deserializeCiphertext(toy.context, forged));
    };
    expect(forge(() => {})).toBe('none');
    expect(forge((view) => view.setUint32(10, params.primes[params.levels[level].basis[0]], true))).toBe(
      'DATA_VALUE',
    );
    expect(forge((view) => view.setUint16(0, 999, true))).toBe('DATA_VALUE');
    expect(forge((view) => view.setFloat64(2, Number.NaN, true))).toBe('DATA_VALUE');
    expect(forge((view) => view.setUint16(0, level + 1, true))).toBe('DATA_TRUNCATED');
  });

  it('gives keys and ciphertexts that work', () => {
    const key = deserializeEvaluationKey(params, samples['Galois key'].bytes);
    toy.keys.add(EvaluationKey.expand(toy.context, key));
    using ct = expandCiphertext(
      toy.context,
      deserializeSeededCiphertext(params, samples.seededCiphertext.bytes),
    );
    using turned = toy.evaluator.rotateNew(ct, 3);
    const got = toy.decrypt(turned);
    for (let i = 0; i < 16; i++) expect(got.re[i]).toBeCloseTo(Math.sin((i + 3) % 16), 7);
  });

  it('keeps the secret: a read key decrypts', () => {
    const secret = deserializeSecretKey(params, samples['secret key'].bytes);
    expect(secret.main).toEqual(toy.secret.main);
    expect(secret.setId).toBe(toy.secret.setId);
    expect(SecretKey.generate(params).main).not.toEqual(secret.main);
  });
});
