import { SottoError, sha256, toHex } from '@sotto/base';
import { type ChainLiteral, compileChain } from './chain.js';
import type { LevelSpec, Parameters, SecretKind } from './parameters.js';
import { reportSecurity } from './security.js';

/** Unchecked input of {@link createParameters}; plain JSON. */
export interface ParametersLiteral {
  /** Must contain "insecure" when the parameters fall short of 128 bits. */
  name: string;
  logN: number;
  secret: SecretKind;
  /** Digits of the gadget at the highest level. */
  digitCount: number;
  chain: ChainLiteral;
  /** Weight of the ephemeral secret of bootstrapping. */
  ephemeralWeight?: number;
}

/** Standard deviation of every error polynomial; the security table assumes it. */
export const ERROR_STD = 3.19;

const MIN_SECURITY_BITS = 128;
/** Special primes of the two keys that lead to and from the ephemeral secret. */
export const ENCAPSULATION_SPECIAL_PRIMES = 2;

function invalid(short: string, facts: Record<string, string | number>, fix: string): SottoError {
  return new SottoError(short, { code: 'HE_PARAMETERS_INVALID', facts, fix });
}

function checkLiteral(literal: ParametersLiteral): void {
  const { logN, secret, chain } = literal;
  if (!Number.isInteger(logN) || logN < 4 || logN > 17) {
    throw invalid('The ring degree is out of range.', { logN }, 'Use 4 <= logN <= 17.');
  }
  if (secret.kind === 'fixedWeight' && !(secret.weight >= 1 && secret.weight <= 2 ** logN)) {
    throw invalid('The secret weight is out of range.', { weight: secret.weight }, 'Use 1 <= weight <= N.');
  }
  if (!(literal.digitCount >= 1 && literal.digitCount <= 15)) {
    throw invalid(
      'The digit count is out of range.',
      { digitCount: literal.digitCount },
      'Use 1 to 15 digits.',
    );
  }
  if (!(chain.residualLevels >= 1) || chain.terminalBits.length > 8) {
    throw invalid(
      'The chain is out of range.',
      { residualLevels: chain.residualLevels, terminals: chain.terminalBits.length },
      'Use at least one level and at most eight terminal primes.',
    );
  }
  if (chain.bootstrap && literal.ephemeralWeight === undefined) {
    throw invalid(
      'Bootstrapping needs an ephemeral secret.',
      { name: literal.name },
      'Set ephemeralWeight, usually 32.',
    );
  }
}

/**
 * Validates a literal, builds the modulus chain and holds every modulus against the security table.
 *
 * @throws `HE_PARAMETERS_INVALID` when no chain fits, `HE_PARAMETERS_INSECURE` when a secret has less than 128 bits and the
 * name does not say insecure.
 */
export function createParameters(literal: ParametersLiteral): Parameters {
  checkLiteral(literal);
  const { logN, chain } = literal;
  const n = 2 ** logN;
  const compiled = compileChain(chain, logN);
  const usedMask = compiled.levels.reduce((mask, level) => mask | level.terminals, 0);
  const terminals = compiled.terminals.filter((_, i) => (usedMask >> i) & 1);
  const primes = [...compiled.mains, ...terminals, ...compiled.special];
  const terminalIndex = compiled.terminals.map((p) => primes.indexOf(p));
  const special = compiled.special.map((_, i) => compiled.mains.length + terminals.length + i);

  const bases = compiled.levels.map((level) => {
    const basis: number[] = [];
    for (let i = 0; i < level.mains; i++) basis.push(i);
    for (let i = 0; i < compiled.terminals.length; i++)
      if ((level.terminals >> i) & 1) basis.push(terminalIndex[i]);
    return basis;
  });
  const ratio = (high: number, low: number): number => {
    let value = 1;
    for (const i of bases[high]) if (!bases[low].includes(i)) value *= primes[i];
    for (const i of bases[low]) if (!bases[high].includes(i)) value /= primes[i];
    return value;
  };
  const logOf = (basis: readonly number[]): number => basis.reduce((sum, i) => sum + Math.log2(primes[i]), 0);

  const kinds = compiled.levels.map((level) => level.kind);
  const stages = chain.bootstrap;
  const bottomLevel = stages ? stages.slotsToCoeffsBits.length : 0;
  const residualTop = bottomLevel + chain.residualLevels;
  const top = kinds.length - 1;
  const evalModTop = stages ? residualTop + stages.evalModLogScales.length : residualTop;
  const scales: number[] = [];
  const q0 = bases[0].reduce((product, i) => product * primes[i], 1);
  let evalModOutputScale = 0;
  for (let level = 0; level <= top; level++) {
    if (level === 0) {
      scales.push(stages ? q0 / 2 ** stages.logMessageRatio : 2 ** chain.logScale);
    } else if (kinds[level] === 'slotsToCoeffs') {
      scales.push(2 ** chain.logScale);
    } else if (kinds[level] === 'coeffsToSlots') {
      const t = (top - level) / (top - evalModTop);
      scales.push(stages!.range * q0 * (scales[evalModTop] / (stages!.range * q0)) ** t);
    } else {
      let below = scales[level - 1];
      if (stages && level === residualTop + 1) {
        evalModOutputScale = (below * 2 ** stages.logMessageRatio) / (2 * Math.PI);
        below = evalModOutputScale;
      }
      scales.push(Math.sqrt(below * ratio(level, level - 1)));
    }
  }
  const levels: LevelSpec[] = bases.map((basis, level) => {
    const below =
      level === 0 ? 0 : stages && level === residualTop + 1 ? evalModOutputScale : scales[level - 1];
    return {
      level,
      kind: kinds[level],
      basis,
      logQ: logOf(basis),
      scale: scales[level],
      plainScale: level === 0 ? 0 : (below * ratio(level, level - 1)) / scales[level],
    };
  });

  const logQP = primes.reduce((sum, p) => sum + Math.log2(p), 0);
  const security = { ...reportSecurity({ logN, secret: literal.secret, logQP }) };
  if (stages) {
    const encapsulation = reportSecurity({
      logN,
      secret: { kind: 'fixedWeight', weight: literal.ephemeralWeight! },
      logQP: levels[0].logQ + logOf(special.slice(0, ENCAPSULATION_SPECIAL_PRIMES)),
    });
    security.bits = Math.min(security.bits, encapsulation.bits);
  }
  if (security.bits < MIN_SECURITY_BITS && !literal.name.includes('insecure')) {
    throw new SottoError('These parameters fall short of 128 bits of security.', {
      code: 'HE_PARAMETERS_INSECURE',
      facts: {
        name: literal.name,
        logN,
        logQP: Math.ceil(logQP),
        limit: security.logQPLimit,
        bits: security.bits,
      },
      fix: 'Use a larger ring or a shorter chain; for tests put "insecure" in the name.',
    });
  }
  const digest = toHex(
    sha256(
      new TextEncoder().encode(
        JSON.stringify([
          literal.name,
          logN,
          literal.secret,
          literal.digitCount,
          literal.ephemeralWeight ?? 0,
          primes,
          bases,
          kinds,
        ]),
      ),
    ),
  );
  return {
    name: literal.name,
    logN,
    n,
    maxSlots: n / 2,
    primes,
    levels,
    bottomLevel,
    freshLevel: residualTop,
    special,
    digitCount: literal.digitCount,
    secret: literal.secret,
    errorStd: ERROR_STD,
    bootstrap: stages
      ? {
          ephemeralWeight: literal.ephemeralWeight!,
          logMessageRatio: stages.logMessageRatio,
          range: stages.range,
          bottomLevel,
          residualTop,
          evalModTop,
          top,
          evalModOutputScale,
        }
      : null,
    logQP,
    security,
    digest,
  };
}
