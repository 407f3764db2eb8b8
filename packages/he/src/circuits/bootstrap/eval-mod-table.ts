import { SottoError } from '@sotto/base';

/**
 * Polynomials of EvalMod: T_0, T_2, .. T_30 in y = (x - 1/4)/B, B = 15.25 + 1/ratio, fitted to cos(2 pi (x - 1/4)/8) by weighted
 * least squares on the clusters |x - I| <= 1/ratio, |I| <= 15, with the weight P(|I|)^0.15 of an ephemeral secret of weight 32:
 * common integers get the precision, rare ones keep enough of it.
 */
const TABLES: Readonly<Record<number, readonly number[]>> = {
  10: [
    0.04277782136951886, 0.16064205737669626, 0.3590295839978307, 0.4894841846626664, 0.09896458435076226,
    -0.6017860007246905, 0.38726501906603183, -0.1281500694926309, 0.027419676108380666,
    -0.004197472848093585, 0.00048771155905123976, -4.47489557290936e-5, 3.3352038085393577e-6,
    -2.072764493877556e-7, 1.0490108730803556e-8, -5.9601301374303e-10,
  ],
  12: [
    0.042648469043299254, 0.16039877094854854, 0.358870671180165, 0.48953528164232196, 0.09919480274825099,
    -0.601806732492251, 0.38717842945323994, -0.12809964585673428, 0.027405017638693446,
    -0.004194694706014152, 0.0004873306119197693, -4.4708890602211234e-5, 3.331852253840887e-6,
    -2.0704431850280657e-7, 1.0477706246959861e-8, -5.95158490809085e-10,
  ],
  14: [
    0.04261612778419478, 0.16033793945054503, 0.3588309252954827, 0.48954803731137586, 0.09925235623602362,
    -0.6018119061627819, 0.387156781475069, -0.12808704199494922, 0.02740135402299133, -0.004194000422541481,
    0.0004872354174053582, -4.46988794654068e-5, 3.3310148842355312e-6, -2.069863124437256e-7,
    1.0474611647243163e-8, -5.949443746018435e-10,
  ],
};

/** Largest |I| that the tables are fitted for. */
export const EVAL_MOD_BOUND = 15;
/** Double angles after the polynomial: cos(2 pi (x - 1/4)/8) to sin(2 pi x). */
export const EVAL_MOD_DOUBLE_ANGLES = 3;

/** |y| <= 1 stands for |x - 1/4| <= this. */
export function evalModRange(logMessageRatio: number): number {
  return EVAL_MOD_BOUND + 0.25 + 2 ** -logMessageRatio;
}

/**
 * Chebyshev coefficients c_0 .. c_30 (odd ones zero) for a message ratio of 2^logMessageRatio.
 * @throws SottoError `HE_MESSAGE_RATIO` when there is no table for it.
 */
export function evalModCoefficients(logMessageRatio: number): Float64Array {
  const even = TABLES[logMessageRatio];
  if (even === undefined) {
    throw new SottoError('There is no EvalMod polynomial for this message ratio.', {
      code: 'HE_MESSAGE_RATIO',
      facts: { logMessageRatio, available: Object.keys(TABLES).join(', ') },
      fix: 'Use a chain with one of the available message ratios.',
    });
  }
  const coefficients = new Float64Array(2 * even.length - 1);
  even.forEach((c, i) => {
    coefficients[2 * i] = c;
  });
  return coefficients;
}
