// Rows of SmolLM2 on the cleartext scheme beside the clear model.
import { embedRows, readHidden } from '@sotto/engine';
import { argmax, embedTokens, finishLogits, forwardRows, traceRows } from '@sotto/model';

/** Nearly undecided positions: the two best of the clear model are nearer than this. */
const TIE = 0.1;

/** Rows of every prompt through the circuit, in blocks, against the clear model. */
export async function compareRows(bench, prompts, deadlineMs, report) {
  const { model, plan, evaluator, transformer, context } = bench;
  const { blockRows } = plan.layout;
  const sum = { prompts: 0, escaped: 0, rows: 0, agree: 0, sure: 0, sureAgree: 0, voidRows: 0 };
  const escapes = [];
  let squares = 0;
  let values = 0;
  let worst = 0;
  const startCpu = process.cpuUsage();
  let blocks = 0;
  const figures = () => {
    const spent = process.cpuUsage(startCpu);
    return {
      ...sum,
      agreement: sum.agree / sum.rows,
      agreementOfPromptsWithoutEscape: sum.agree / (sum.rows - sum.voidRows),
      agreementWhereDecided: sum.sureAgree / sum.sure,
      rms: Math.sqrt(squares / values),
      worstRowRms: worst,
      largestRefreshed: bench.refresher.largest,
      cpuSecondsABlock: (spent.user + spent.system) / 1e6 / blocks,
      escapes,
    };
  };
  for (const { number, kind, tokens } of prompts) {
    if (performance.now() > deadlineMs) break;
    const hidden = forwardRows(model, embedTokens(model, tokens), context.cache.fork());
    const want = hidden.map((row) => finishLogits(model, row));
    const talk = transformer.conversation(context);
    const got = [];
    try {
      for (let at = 0; at < tokens.length; at += blockRows) {
        const part = tokens.slice(at, at + blockRows);
        const slots = embedRows(model, knowing(plan.client, part), part);
        const input = evaluator.fromSlots(slots, plan.client.inputLevel);
        const out = await transformer.forward(talk, input, part.length);
        blocks++;
        evaluator.release(input);
        got.push(...readHidden(plan.client, evaluator.toSlots(out), part.length));
        evaluator.release(out);
      }
    } catch (error) {
      if (!['ENGINE_OUTPUT_ESCAPED', 'HE_REFRESH_RANGE', 'HE_REFRESH_SHAPE'].includes(error.code))
        throw error;
      escapes.push({ number, kind, code: error.code, block: blocks });
      sum.escaped++;
      sum.voidRows += tokens.length;
      got.length = 0;
    }
    talk.cache.dispose();
    sum.prompts++;
    sum.rows += tokens.length;
    want.forEach((clear, r) => {
      const sorted = Float64Array.from(clear).sort();
      const sure = sorted.at(-1) - sorted.at(-2) > TIE;
      if (got.length === 0) return;
      const logits = finishLogits(model, got[r]);
      const same = argmax(logits) === argmax(clear);
      sum.agree += Number(same);
      sum.sure += Number(sure);
      sum.sureAgree += Number(sure && same);
      let own = 0;
      for (let i = 0; i < logits.length; i++) own += (logits[i] - clear[i]) ** 2;
      squares += own;
      values += logits.length;
      worst = Math.max(worst, Math.sqrt(own / logits.length));
    });
    report(figures());
  }
  return figures();
}

/** Tokens that calibration has not met are measured all the same: whether they escape is the question. */
const knowing = (client, tokens) => ({ ...client, knownTokens: [...client.knownTokens, ...tokens] });

/** Prompts whose rows leave a window of the calibration in the clear model. */
export function scanWindows({ model, context }, calibration, prompts) {
  const left = [];
  for (const { number, kind, tokens } of prompts) {
    const outside = new Map();
    traceRows(
      model,
      embedTokens(model, tokens),
      context.cache.fork(),
      watchWindows(calibration, context.length, (layer, name, value) => {
        const key = `${layer} ${name}`;
        outside.set(key, Math.max(outside.get(key) ?? 0, value));
      }),
    );
    if (outside.size > 0) left.push({ number, kind, windows: Object.fromEntries(outside) });
  }
  return { prompts: prompts.length, left: left.length, which: left };
}

/** Calls back with values outside their windows, and how far outside in widths of the window. */
export function watchWindows(calibration, from, tell) {
  const normalised = new Map();
  const check = (layer, name, value, [low, high]) => {
    if (value < low) tell(layer, name, (low - value) / (high - low));
    else if (value > high) tell(layer, name, (value - high) / (high - low));
  };
  return (name, layer, position, values, head) => {
    const c = calibration.layers[layer];
    if (c === undefined || position < from) return;
    if (name === 'normalised') normalised.set(position, Float64Array.from(values));
    else if (name === 'attentionMeanSquare' || name === 'feedForwardMeanSquare')
      check(layer, name, values[0], c[name]);
    else if (name === 'gate' || name === 'up')
      for (const value of values) check(layer, name, value, [-c[name], c[name]]);
    else if (name === 'scores') {
      const row = normalised.get(position);
      let shift = c.offset[head] + c.slope[head] * Math.log(position + 1);
      for (let i = 0; i < row.length; i++) shift += c.shift[head][i] * row[i];
      let sum = 0;
      for (const value of values) {
        check(layer, 'score', value / 2 - shift, c.score);
        sum += Math.exp(value / 2 - shift);
      }
      // Below its window an inverse stays finite.
      if (Math.log(sum) > c.logSum[1]) check(layer, 'logSum', Math.log(sum), c.logSum);
    }
  };
}
