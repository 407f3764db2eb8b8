import { argmax, forward, KvCache, type LlamaModel } from '@sotto/model';

/** How decrypted logits differ from those of the clear model after the same tokens. */
export interface LogitsError {
  readonly maxAbs: number;
  readonly rms: number;
  /** Distance between the clear model's first and second choice. */
  readonly clearGap: number;
  /** Both choose the same token. */
  readonly sameChoice: boolean;
}

/** The same question, asked of the clear model next to the encrypted one. */
export class ClearReference {
  readonly #model: LlamaModel;
  /** Follows the tokens that the encrypted model chose. */
  readonly #forced: KvCache;
  #forcedLogits: Float64Array;
  /** Follows the clear model's own choice. */
  readonly #own: KvCache;
  #ownLogits: Float64Array;

  constructor(model: LlamaModel, prompt: readonly number[]) {
    this.#model = model;
    this.#forced = new KvCache(model.layers.length);
    this.#forcedLogits = forward(model, prompt, this.#forced).logits.at(-1)!;
    this.#own = this.#forced.fork();
    this.#ownLogits = this.#forcedLogits;
  }

  /** Error of decrypted logits against the clear ones for the same tokens so far. */
  compare(logits: Float64Array): LogitsError {
    let maxAbs = 0;
    let squares = 0;
    logits.forEach((value, i) => {
      const difference = Math.abs(value - this.#forcedLogits[i]!);
      maxAbs = Math.max(maxAbs, difference);
      squares += difference * difference;
    });
    const best = argmax(this.#forcedLogits);
    const second = Math.max(...this.#forcedLogits.filter((_, i) => i !== best));
    return {
      maxAbs,
      rms: Math.sqrt(squares / logits.length),
      clearGap: this.#forcedLogits[best]! - second,
      sameChoice: argmax(logits) === best,
    };
  }

  /** The clear model's own next token. */
  next(): number {
    return argmax(this.#ownLogits);
  }

  /** Goes one position on, each sequence with its own token. */
  advance(encryptedToken: number, clearToken: number): void {
    this.#forcedLogits = forward(this.#model, [encryptedToken], this.#forced).logits[0]!;
    this.#ownLogits = forward(this.#model, [clearToken], this.#own).logits[0]!;
  }
}
