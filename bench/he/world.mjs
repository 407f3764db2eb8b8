// Everything a measurement needs of one parameter set on one backend.
import { CkksEvaluator } from '@sotto/he/ckks';
import { selectBackend } from '@sotto/he/ring';
import { createParameters, EvaluationKey, EvaluationKeySet, N16_BOOT, RingContext } from '@sotto/he/rlwe';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '@sotto/he/secret';
import packageJson from '../../package.json' with { type: 'json' };
import { precision, rowPrinter } from './rows.mjs';

const TERMINAL_BITS = [20.8, 20.8, 21.5, 21.7];
const flat = (name, logN, logScale, residualLevels, digitCount, specialPrimes) => ({
  name,
  logN,
  secret: { kind: 'uniformTernary' },
  digitCount,
  chain: { specialPrimes, terminalBits: TERMINAL_BITS, logQ0: 60, logScale, residualLevels },
});

/** Parameter sets by name. `N16-24x50` and `N15-12x50` have the modulus of the peers' sets. */
export const sets = {
  [N16_BOOT.name]: N16_BOOT,
  'N16-24x50': flat('N16-24x50', 16, 50, 23, 3, 15),
  'N15-12x50': flat('N15-12x50', 15, 50, 11, 3, 8),
  /** One level, for a product with a clear matrix. */
  'N13-1x40': {
    ...flat('N13-1x40', 13, 40, 1, 2, 3),
    chain: { specialPrimes: 3, terminalBits: [20, 22], logQ0: 50, logScale: 40, residualLevels: 1 },
  },
};

export function makeWorld(name, { backend: backendName, threads, repeat, referenceMs }) {
  const params = createParameters(sets[name]);
  const backend = selectBackend({ name: backendName, threads });
  const context = new RingContext(params, backend.createRing({ logN: params.logN, primes: params.primes }));
  const secret = SecretKey.generate(params);
  const generator = new KeyGenerator(context, secret);
  const keys = new EvaluationKeySet(context);
  const ev = new CkksEvaluator(context, keys);
  const encryptor = new Encryptor(context, secret);
  const decryptor = new Decryptor(context, secret);
  return {
    params,
    context,
    ring: context.ring,
    keys,
    ev,
    repeat,
    print: rowPrinter(backend, params, packageJson.version, referenceMs),
    addKey: (id, maxLevel) => {
      const key = EvaluationKey.expand(context, generator.make(id, maxLevel));
      keys.add(key);
      return key;
    },
    addRotation(k, maxLevel) {
      return this.addKey({ kind: 'galois', galois: galoisOf(k, params.n) }, maxLevel);
    },
    encrypt: (z, level) => encryptor.encryptNew(ev.encoder.embed(z, ev.scaleAt(level)), level),
    encryptCoefficients: (coefficients, level) => encryptor.encryptNew(coefficients, level),
    decode: (a) => ev.encoder.project(decryptor.decrypt(a), a.scale),
    bitsOf(a, want) {
      return precision(this.decode(a), want);
    },
  };
}

export function galoisOf(rotation, n) {
  let result = 1;
  for (let i = 0; i < ((rotation % (n / 2)) + n / 2) % (n / 2); i++) result = (result * 5) % (2 * n);
  return result;
}

/** Complex slots with components between -1 and 1. */
export function wave(slots, rate = 1.7) {
  return {
    re: Float64Array.from({ length: slots }, (_, i) => Math.sin(rate * i * i + 0.3 * i)),
    im: Float64Array.from({ length: slots }, (_, i) => Math.sin(rate * i * i + 2.1 * i)),
  };
}
