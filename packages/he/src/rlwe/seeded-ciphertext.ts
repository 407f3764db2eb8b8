import { SottoError } from '@sotto/base';
import { Ciphertext } from './ciphertext.js';
import type { RingContext } from './context.js';
import type { Parameters } from './parameters.js';

/** A fresh ciphertext as it travels: c0 in NTT form, c1 as a seed. Half the size of a {@link Ciphertext}. */
export interface SeededCiphertext {
  readonly parameters: Parameters;
  readonly level: number;
  readonly scale: number;
  /** 32 bytes. */
  readonly seed: Uint8Array;
  /** Rows of the level's basis. */
  readonly c0: Uint32Array;
}

/** XOF domain of c1. */
export const CIPHERTEXT_DOMAIN = 0;

/** @throws `HE_PARAMETERS_MISMATCH` when it was encrypted under other parameters. */
export function expandCiphertext(context: RingContext, seeded: SeededCiphertext): Ciphertext {
  if (seeded.parameters.digest !== context.params.digest) {
    throw new SottoError('This ciphertext belongs to other parameters.', {
      code: 'HE_PARAMETERS_MISMATCH',
      facts: { parameters: context.params.name },
      fix: 'Encrypt with the parameters of the server.',
    });
  }
  const out = new Ciphertext(context, seeded.level, seeded.scale);
  context.ring.write(out.c0, seeded.c0);
  context.ring.uniform(out.c1, seeded.seed, CIPHERTEXT_DOMAIN, out.basis);
  return out;
}
