import type { ChainLiteral } from './chain.js';
import { createParameters, type ParametersLiteral } from './create-parameters.js';
import type { Parameters } from './parameters.js';

/**
 * Bootstrapping chain for a uniform ternary secret: 12 levels of 40 bits for circuits. The EvalMod scales taper because the noise
 * of an early product is amplified 2^9 times more than that of the last; CoeffsToSlots and SlotsToCoeffs factors get the plaintext
 * bits that their diagonals' periods need.
 */
const BOOTSTRAP_CHAIN: ChainLiteral = {
  specialPrimes: 15,
  terminalBits: [22.5, 22.5, 23.2, 25.9, 28, 28.4],
  logQ0: 51.3,
  logScale: 40,
  residualLevels: 12,
  bootstrap: {
    logMessageRatio: 12,
    range: 15.25 + 2 ** -12,
    slotsToCoeffsBits: [26, 29, 31],
    evalModLogScales: [54, 58.4, 56.4, 54.7, 52.7, 52.4, 51.8, 50.9],
    coeffsToSlotsBits: [44, 42, 40, 39],
  },
};

/** N = 2^16, uniform ternary secret, 128 bits: 12 levels of 40 bits after each bootstrap. */
export const N16_BOOT: ParametersLiteral = {
  name: 'N16-boot-12x40',
  logN: 16,
  secret: { kind: 'uniformTernary' },
  digitCount: 3,
  ephemeralWeight: 32,
  chain: BOOTSTRAP_CHAIN,
};

/** N = 2^15, uniform ternary secret, 128 bits: 14 levels of 40 bits, for circuits whose ciphertexts the client refreshes. */
export const N15_CLIENT: ParametersLiteral = {
  name: 'N15-client-14x40',
  logN: 15,
  secret: { kind: 'uniformTernary' },
  digitCount: 4,
  chain: {
    specialPrimes: 7,
    terminalBits: [20.8, 20.8, 21.5, 21.7],
    logQ0: 50.5,
    logScale: 40,
    residualLevels: 14,
  },
};

/** The structure of {@link N16_BOOT} on a small ring: fast, and without any security. */
export function insecureBoot(logN: number, overrides: Partial<ChainLiteral> = {}): ParametersLiteral {
  return {
    ...N16_BOOT,
    name: `insecure-boot-N${logN}`,
    logN,
    chain: { ...BOOTSTRAP_CHAIN, specialPrimes: 17, ...overrides },
  };
}

/** The structure of {@link N15_CLIENT} on a small ring: fast, and without any security. */
export function insecureClient(logN: number, residualLevels = 14): ParametersLiteral {
  return {
    ...N15_CLIENT,
    name: `insecure-client-N${logN}-${residualLevels}x40`,
    logN,
    chain: { ...N15_CLIENT.chain, residualLevels },
  };
}

const PRESETS = [N16_BOOT, N15_CLIENT];

/** A preset by name; `insecure-boot-N<logN>` and `insecure-client-N<logN>-<levels>x40` name toys for tests. Undefined when unknown. */
export function presetByName(name: string): Parameters | undefined {
  const literal = PRESETS.find((preset) => preset.name === name);
  if (literal) return createParameters(literal);
  const boot = /^insecure-boot-N(\d+)$/.exec(name);
  if (boot) return createParameters(insecureBoot(Number(boot[1])));
  const client = /^insecure-client-N(\d+)-(\d+)x40$/.exec(name);
  return client ? createParameters(insecureClient(Number(client[1]), Number(client[2]))) : undefined;
}
