// Detector of sensitive words on texts with marked personal data, and what of it would leave in clear. Writes bench/results/pii.json.
//   npm run bench -- pii [--data synth_dataset_v2.json.gz] [--table neutral-1]
// The data set (Microsoft presidio-research, MIT; names from FakeNameGenerator) lies beside the repository; without it there is nothing
// to measure, and this says so.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { decodeTable, findSensitive, pieces, readShippedTable } from '@sotto/privacy';

const beside = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values } = parseArgs({
  options: {
    data: { type: 'string', default: beside('../../shared/data/pii/presidio-synth_dataset_v2.json.gz') },
    table: { type: 'string', default: 'neutral-1' },
    out: { type: 'string', default: beside('./results/pii.json') },
  },
});
if (!existsSync(values.data)) {
  console.log(JSON.stringify({ bench: 'pii', skipped: 'the data set is absent' }));
  process.exit(0);
}
const samples = JSON.parse(gunzipSync(readFileSync(values.data)).toString('utf8'));
const table = decodeTable(await readShippedTable(values.table));
const common = new Set(table.words.slice(0, table.commonWords));
const round = (value) => Number(value.toFixed(4));
const overlaps = (span, start, end) => span.start < end && span.end > start;

const classes = new Map();
const kinds = new Map();
let [wordsOutside, replacedOutside] = [0, 0];
for (const { full_text: text, spans } of samples) {
  const found = findSensitive(text);
  for (const { kind, start, end } of found) {
    const count = kinds.get(kind) ?? { spans: 0, right: 0 };
    kinds.set(kind, count);
    count.spans++;
    if (spans.some((span) => span.start_position < end && span.end_position > start)) count.right++;
  }
  let at = 0;
  for (const piece of pieces(text)) {
    const [start, end] = [at, at + piece.text.length];
    at = end;
    if (piece.kind === 'public') continue;
    const gold = spans.find((span) => span.start_position < end && span.end_position > start);
    const passes = piece.kind === 'word' && common.has(piece.text.toLowerCase());
    const clear = passes && !found.some((span) => overlaps(span, start, end));
    if (gold === undefined) {
      wordsOutside++;
      if (!clear) replacedOutside++;
      continue;
    }
    const count = classes.get(gold.entity_type) ?? { words: 0, detected: 0, clearWithout: 0, clear: 0 };
    classes.set(gold.entity_type, count);
    count.words++;
    if (found.some((span) => span.start <= start && span.end >= end)) count.detected++;
    if (passes) count.clearWithout++;
    if (clear) count.clear++;
  }
}
const result = {
  bench: 'pii',
  texts: samples.length,
  table: values.table,
  classes: Object.fromEntries(
    [...classes]
      .sort((a, b) => b[1].words - a[1].words)
      .map(([name, { words, detected, clearWithout, clear }]) => [
        name,
        {
          words,
          recall: round(detected / words),
          /** Share of its words that leave as they are: words of it that are common in the table, without and with the detector. */
          inClearByFrequencyAlone: round(clearWithout / words),
          inClear: round(clear / words),
        },
      ]),
  ),
  kinds: Object.fromEntries(
    [...kinds].map(([name, { spans, right }]) => [name, { spans, precision: round(right / spans) }]),
  ),
  otherWords: { words: wordsOutside, replaced: round(replacedOutside / wordsOutside) },
};
console.log(JSON.stringify(result, null, 1));
writeFileSync(values.out, `${JSON.stringify(result)}\n`);
