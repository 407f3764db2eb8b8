import { SottoError } from '@sotto/base';
import {
  type Ciphertext,
  deserializeSeededCiphertext,
  expandCiphertext,
  type RingContext,
  serializeCiphertext,
} from '@sotto/he/rlwe';
import { type Evaluator, exactShape, type Refresher, type RefreshShape } from '@sotto/he/scheme';

/** Two canonical scales of one level agree to this. */
const SCALE_TOLERANCE = 2 ** -40;

/**
 * Refresh by the client: the ciphertext goes down to the lowest level, so that it is small, travels to the client and comes
 * back encrypted anew at the level that the plan wants. The client sees the values, which is why this is for open weights. It keeps every slot, so it
 * serves all shapes.
 */
export class ClientRefresher implements Refresher<Ciphertext> {
  readonly outputLevel: number;
  readonly inputLevel: number;
  readonly range = 1;
  count = 0;
  readonly #context: RingContext;
  readonly #evaluator: Evaluator<Ciphertext>;
  readonly #exchange: (ciphertext: Uint8Array) => Promise<Uint8Array>;

  /** @param exchange sends bytes to the client and gives its answer. @param outputLevel at which the client encrypts. */
  constructor(
    context: RingContext,
    evaluator: Evaluator<Ciphertext>,
    exchange: (ciphertext: Uint8Array) => Promise<Uint8Array>,
    outputLevel = context.params.freshLevel,
  ) {
    this.#context = context;
    this.#evaluator = evaluator;
    this.#exchange = exchange;
    this.outputLevel = outputLevel;
    this.inputLevel = context.params.bottomLevel;
  }

  /** @throws `HE_LEVEL_EXHAUSTED`; `HE_REFRESH_SHAPE` when there is no such shape; `REFRESH_LEVEL` when the client's answer is not a fresh ciphertext. */
  async refresh(a: Ciphertext, shape?: RefreshShape): Promise<Ciphertext> {
    exactShape(shape, this.#context.params.maxSlots);
    const low = this.#evaluator.toLevel(a, this.inputLevel);
    const asked = serializeCiphertext(low);
    if (low !== a) low.release();
    const answer = await this.#exchange(asked);
    const { params } = this.#context;
    const seeded = deserializeSeededCiphertext(params, answer);
    const { scale } = this.#context.level(this.outputLevel);
    if (seeded.level !== this.outputLevel || Math.abs(seeded.scale / scale - 1) > SCALE_TOLERANCE) {
      throw new SottoError('The refreshed ciphertext has not the level and scale of a fresh one.', {
        code: 'REFRESH_LEVEL',
        facts: { level: seeded.level, expected: this.outputLevel },
        fix: 'Use the same Sotto version at client and server.',
      });
    }
    this.count++;
    return expandCiphertext(this.#context, seeded);
  }
}
