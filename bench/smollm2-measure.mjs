// Windows for SmolLM2 from prompts: ranges of all rows behind given row shifts, widened to what texts not seen are expected to reach.
import { readCalibration, writeCalibration } from '@sotto/engine';
import { embedTokens, forwardRows, traceRows } from '@sotto/model';
import { Extremes } from '../packages/engine/dist/extremes.js';
import { expectedMagnitude, LayerMeter } from '../packages/engine/dist/layer-meter.js';
import { observeRanges } from '../packages/engine/dist/row-ranges.js';

/** What windows are wider than the engine makes them: few prompts of so many kinds of text are met in a calibration. */
const guards = {
  meanSquareFactor: 1.08,
  /** Channels that no prompt drove far are bounded by this all the same. */
  leastGate: 13.5,
  scoreLowFactor: 1.15,
  scoreLowNats: 2,
  scoreHighNats: 0.5,
  logSumHighNats: 0.5,
};

/**
 * A calibration whose windows are measured anew.
 *
 * @param base calibration whose row shifts and public prefix stay.
 * @param prompts private tokens of each, see `chatPrompts`.
 */
export function measureWindows(model, context, base, prompts, report) {
  const { layerCount } = model.config;
  const meters = Array.from({ length: layerCount }, () => new LayerMeter());
  const final = new Extremes();
  const trace = observeRanges(base.layers, context.length, (kind, layer, low, high) => {
    if (layer < layerCount) return meters[layer].see(kind, low, high);
    const size = Math.log(Math.max(-low, high));
    final.see(size, size);
  });
  prompts.forEach(({ tokens }, i) => {
    traceRows(model, embedTokens(model, tokens), context.cache.fork(), trace);
    for (const meter of meters) meter.endText();
    final.endText();
    report(i + 1);
  });
  const layers = meters.map((meter, l) => {
    const { shift, offset, slope } = base.layers[l];
    return guarded(meter.finish({ shift, offset, slope }));
  });
  const knownTokens = [...new Set(prompts.flatMap(({ tokens }) => tokens))].sort((a, b) => a - b);
  const made = {
    ...base.made,
    corpora: [{ name: 'MTS-Dialog, MMLU law, WikiText-2, Presidio', texts: prompts.length }],
    scan: { texts: 0, escapes: 0, clean: 0, wanted: 0 },
  };
  const finalResidual = expectedMagnitude(final);
  return readCalibration(writeCalibration({ ...base, made, layers, finalResidual, knownTokens }));
}

function guarded(c) {
  const wider = ([low, high]) => [low / guards.meanSquareFactor, high * guards.meanSquareFactor];
  return {
    ...c,
    attentionMeanSquare: wider(c.attentionMeanSquare),
    feedForwardMeanSquare: wider(c.feedForwardMeanSquare),
    gate: Math.max(c.gate, guards.leastGate),
    score: [c.score[0] * guards.scoreLowFactor - guards.scoreLowNats, c.score[1] + guards.scoreHighNats],
    logSum: [c.logSum[0], c.logSum[1] + guards.logSumHighNats],
  };
}

/** What stands in front of a token that texts did not have when it is tried. */
export const TOKEN_FRAME = 'I would like to know more about';

/**
 * Tokens, each alone behind public prefix and frame, that leave a window.
 *
 * @param watch makes a trace from a callback for layer, name and distance outside.
 */
export function scanTokens(model, context, frame, tokens, watch) {
  const cache = context.cache.fork();
  forwardRows(model, embedTokens(model, frame), cache);
  return tokens.filter((token) => {
    let left = false;
    traceRows(
      model,
      embedTokens(model, [token]),
      cache.fork(),
      watch(() => {
        left = true;
      }),
    );
    return left;
  });
}
