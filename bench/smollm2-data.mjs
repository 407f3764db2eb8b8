// Prompts for SmolLM2 in its chat template, from four kinds of text. The data stay outside the packages.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { SeededRandom } from '@sotto/model';

const dataFolder = fileURLToPath(new URL('../../shared/data', import.meta.url));
export const modelPath = `${dataFolder}/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf`;
export const dataPresent = () => existsSync(modelPath) && existsSync(`${dataFolder}/medical`);

/** The public system message: early " the" take the place of the massive activation that the first " the" of a private text makes. */
export const SYSTEM =
  'In the end. In the end. In the end. In the end. You are a helpful AI assistant in the US. Answer in the language of the user.';

const read = (path) => gunzipSync(readFileSync(`${dataFolder}/${path}`)).toString('utf8');

/** Fields of a CSV file with quotes. */
function csv(text) {
  const rows = [];
  let row = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') {
        field += '"';
        i++;
      } else quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === ',' || c === '\n') {
      row.push(field);
      field = '';
      if (c === '\n') {
        rows.push(row);
        row = [];
      }
    } else if (c !== '\r') field += c;
  }
  return rows;
}

/** A text and the places in it where a prompt may begin: its start, and sentences some way apart. */
function pieces(text, apart = 500) {
  const clean = text
    .replace(/\r/g, '')
    .replace(/[ \t]+/g, ' ')
    .trim();
  const found = [];
  const boundary = /(?:^|[.?!\n]\s+)(?=\S)/g;
  let last = -apart;
  for (const match of clean.matchAll(boundary)) {
    const at = match.index + match[0].length;
    if (at - last < apart) continue;
    found.push(clean.slice(at, at + apart));
    last = at;
  }
  return found;
}

function shuffled(list, random) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random.next() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

/** Texts by kind, shuffled by a seed. */
function corpora(seed) {
  const random = new SeededRandom(seed);
  const mts = ['train', 'valid', 'test1', 'test2'].flatMap((part) =>
    csv(read(`medical/mts-dialog-${part}.csv.gz`)).slice(1),
  );
  const law = csv(read('legal/mmlu-professional_law-test.csv.gz'));
  const wiki = ['valid', 'test'].flatMap((part) => read(`text/wikitext2-${part}.txt.gz`).split('\n'));
  const pii = JSON.parse(read('pii/presidio-synth_dataset_v2.json.gz'));
  return {
    'MTS-Dialog': shuffled(
      mts.flatMap((row) => pieces(row[3] ?? '')),
      random,
    ),
    'MMLU law': shuffled(
      law.flatMap((row) => pieces(row[0] ?? '')),
      random,
    ),
    'WikiText-2': shuffled(
      wiki.filter((line) => line.length > 120 && !line.startsWith(' =')).flatMap((line) => pieces(line)),
      random,
    ),
    Presidio: shuffled(
      pii.flatMap((item) => pieces(item.full_text)),
      random,
    ),
  };
}

/** Private tokens of a prompt: some tokens of text, then what ends the user's turn and begins the answer. */
export const LENGTHS = [16, 32, 48, 64];

/**
 * The public prefix and prompts, each the private tokens of one, from the four kinds in turn; other numbers, other texts.
 *
 * @returns prefix, prompts(from, count, lengths), the number of prompts there are.
 */
export function chatPrompts(tokenizer, seed = 1) {
  const [before, between, after] = tokenizer.chatTemplate.frame(['system', 'user']);
  const encode = (text) => tokenizer.encode(text, { bos: false, special: true });
  const prefix = [...encode(before), ...tokenizer.encode(SYSTEM, { bos: false }), ...encode(between)];
  const suffix = encode(after);
  const kinds = Object.entries(corpora(seed));
  const prompt = (number, lengths) => {
    const [kind, texts] = kinds[number % kinds.length];
    const round = Math.floor(number / kinds.length);
    const length = lengths[round % lengths.length];
    const content = tokenizer.encode(texts[round % texts.length], { bos: false });
    const tokens = [...content.slice(0, length - suffix.length), ...suffix];
    return { number, kind, tokens };
  };
  return {
    prefix,
    distinct: kinds.length * Math.min(...kinds.map(([, texts]) => texts.length)),
    prompts: (from, count, lengths = LENGTHS) =>
      Array.from({ length: count }, (_, i) => prompt(from + i, lengths)),
  };
}
