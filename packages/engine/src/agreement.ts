import type { CleartextCiphertext, CleartextEvaluator, CleartextRefresher } from '@sotto/he/cleartext';
import { argmax, finishLogits, forward, KvCache, type LlamaModel } from '@sotto/model';
import { embedRows, readHidden } from './client-side.js';
import type { Conversation, EncryptedTransformer } from './execute.js';
import type { Plan } from './plan.js';

/** A transformer on the cleartext scheme. */
export interface CleartextBench {
  readonly model: LlamaModel;
  readonly plan: Plan;
  readonly evaluator: CleartextEvaluator;
  readonly refresher: CleartextRefresher;
  readonly transformer: EncryptedTransformer<CleartextCiphertext>;
}

/** Logits of a block of private tokens. */
export async function logitsOf(
  bench: CleartextBench,
  talk: Conversation<CleartextCiphertext>,
  tokens: readonly number[],
): Promise<Float64Array[]> {
  const { model, plan, evaluator, transformer } = bench;
  const input = evaluator.fromSlots(embedRows(model, plan.client, tokens), plan.client.inputLevel);
  const out = await transformer.forward(talk, input, tokens.length);
  const hidden = readHidden(plan.client, evaluator.toSlots(out), tokens.length);
  evaluator.release(out);
  return hidden.map((row) => finishLogits(model, row));
}

export interface Agreement {
  positions: number;
  /** Positions where both models choose the same token. */
  agree: number;
  /** Positions where the clear model is sure (gap above 0.1), and those of them that agree. */
  sure: number;
  sureAgree: number;
  rmsError: number;
  /** Mean of ln p of the next token: clear, approximated. */
  clearNats: number;
  nats: number;
}

function logProbability(logits: Float64Array, token: number): number {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  return logits[token]! - largest - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - largest), 0));
}

/**
 * Simulate first: runs texts (token ids, the public prefix of the plan first) with their last part private, on the cleartext scheme with whatever noise it
 * has, and compares every private row with the clear model.
 *
 * @throws SottoError `ENGINE_OUTPUT_ESCAPED` or `HE_REFRESH_RANGE` when a value leaves its window.
 */
export async function measureAgreement(
  bench: CleartextBench,
  texts: readonly (readonly number[])[],
): Promise<Agreement> {
  const { model, plan, transformer } = bench;
  const { blockRows, privateCapacity } = plan.layout;
  const sum = { positions: 0, agree: 0, sure: 0, sureAgree: 0, clearNats: 0, nats: 0 };
  let squares = 0;
  let count = 0;
  for (const tokens of texts) {
    const want = forward(model, tokens, new KvCache(model.config.layerCount)).logits;
    const open = Math.max(plan.client.publicPrefix.length, tokens.length - privateCapacity);
    const talk = transformer.conversation(tokens.slice(0, open));
    for (let at = open; at < tokens.length; at += blockRows) {
      const got = await logitsOf(bench, talk, tokens.slice(at, at + blockRows));
      got.forEach((logits, row) => {
        const clear = want[at + row]!;
        const [first, second] = Array.from(clear).sort((a, b) => b - a) as [number, number];
        const same = argmax(logits) === argmax(clear);
        const sure = first - second > 0.1;
        sum.positions++;
        sum.agree += Number(same);
        sum.sure += Number(sure);
        sum.sureAgree += Number(sure && same);
        logits.forEach((value, i) => {
          squares += (value - clear[i]!) ** 2;
        });
        count += logits.length;
        const next = tokens[at + row + 1];
        if (next !== undefined) {
          sum.clearNats -= logProbability(clear, next);
          sum.nats -= logProbability(logits, next);
        }
      });
    }
    talk.cache.dispose();
  }
  return {
    ...sum,
    rmsError: Math.sqrt(squares / count),
    clearNats: sum.clearNats / sum.positions,
    nats: sum.nats / sum.positions,
  };
}
