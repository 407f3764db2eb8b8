import { SottoError } from '@sotto/base';

/** Errors that every scheme behind the evaluator contract raises alike. */

export function levelExhausted(level: number, wanted?: number): SottoError {
  return new SottoError('The ciphertext has no level left for this operation.', {
    code: 'HE_LEVEL_EXHAUSTED',
    facts: { level, ...(wanted === undefined ? {} : { wanted }) },
    fix: 'Refresh the ciphertext first, or plan the circuit with fewer levels.',
  });
}

export function levelMismatch(left: number, right: number): SottoError {
  return new SottoError('The operands are at different levels.', {
    code: 'HE_LEVEL_MISMATCH',
    facts: { left, right },
    fix: 'Bring the higher operand down with toLevel.',
  });
}

export function levelKind(level: number): SottoError {
  return new SottoError('This level is made for products with plaintexts, not of two ciphertexts.', {
    code: 'HE_LEVEL_KIND',
    facts: { level },
    fix: 'Multiply ciphertexts at a residual level.',
  });
}

export function scaleMismatch(left: number, right: number): SottoError {
  return new SottoError('The operands are at different scales.', {
    code: 'HE_SCALE_MISMATCH',
    facts: { left, right },
    fix: 'Bring both to the canonical scale of the level.',
  });
}

export function operandCount(left: number, right: number): SottoError {
  return new SottoError('The operand lists must have the same, non-zero length.', {
    code: 'HE_OPERAND_COUNT',
    facts: { left, right },
    fix: 'Pass one factor for each operand.',
  });
}

export function rotationStep(k: number): SottoError {
  return new SottoError('A rotation needs a whole number of slots.', {
    code: 'HE_ROTATION_STEP',
    facts: { k },
    fix: 'Use an integer.',
  });
}

export function integerRange(): SottoError {
  return new SottoError('An integer factor must be a whole number below 2^20 in magnitude.', {
    code: 'HE_INTEGER_RANGE',
    facts: { limit: 2 ** 20 },
    fix: 'Use mulConstNew for other constants.',
  });
}

export function plainPurpose(encodedFor: string, usedFor: string): SottoError {
  return new SottoError('This plaintext was encoded for another operation.', {
    code: 'HE_PLAIN_PURPOSE',
    facts: { encodedFor, usedFor },
    fix: 'Use encode for products and encodeForAdd for additions.',
  });
}

export function useAfterRelease(what: string): SottoError {
  return new SottoError(`The ${what} was released.`, {
    code: 'HE_USE_AFTER_RELEASE',
    facts: { what },
    fix: 'Return it from the scope, or keep it, if it is needed later.',
  });
}

export function notFinite(): SottoError {
  return new SottoError('A value to encode is not finite.', {
    code: 'HE_VALUE_NOT_FINITE',
    fix: 'Check the weights and constants for NaN and infinity.',
  });
}

export function slotCount(length: number, slots: number): SottoError {
  return new SottoError('A slot vector needs a power-of-two length that divides the slot count.', {
    code: 'HE_SLOT_COUNT',
    facts: { length, slots },
    fix: 'Pad the vector with zeros to the next power of two.',
  });
}
