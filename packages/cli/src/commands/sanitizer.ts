import { readFile, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { SottoError } from '@sotto/base';
import {
  blockEntropyBits,
  buildStaircase,
  type Certificate,
  certify,
  decodeTable,
  encodeTable,
  expandBlock,
  type Notion,
  readTextVectors,
  rowSum,
  type SanitizerTable,
  shippedTables,
  tableBayesSuccess,
  tableDigest,
  winkVectors,
  wordPrior,
} from '@sotto/privacy';
import type { Command, Options, Output } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { tableBytesOf, tableOption } from '../sanitizer-options.js';

/** A string holds no more. */
const MOST_VECTOR_BYTES = 500 * 2 ** 20;

const actions = ['list', 'show', 'check', 'build'];

const ratioText = ({ numerator, denominator }: { numerator: bigint; denominator: bigint }) =>
  `ln(${numerator}/${denominator})`;

function print(options: Options, output: Output, report: object, rows: readonly [string, string][]): void {
  output.out(
    options.flag('json')
      ? `${JSON.stringify(report)}\n`
      : rows.map(([name, value]) => `${name.padEnd(13)}${value}\n`).join(''),
  );
}

async function list(options: Options, output: Output): Promise<number> {
  const tables = await shippedTables();
  const rows = tables.map(({ name, about }): [string, string] => [name, about]);
  print(options, output, { tables }, rows);
  return exitCodes.ok;
}

/** What a checked table is, for people and programs. */
function facts(table: SanitizerTable, bytes: Uint8Array, certificate: Certificate) {
  const prior = wordPrior(table.words.length, 'zipf');
  return {
    name: table.name,
    digest: tableDigest(bytes),
    notion: table.notion,
    claimed: ratioText(table.claimed),
    holds: certificate.holds,
    epsilon: certificate.worst === null ? null : certificate.epsilon,
    worst: certificate.worst === null ? null : ratioText(certificate.worst),
    pair: certificate.pair,
    inequalities: certificate.inequalities,
    words: table.words.length,
    commonWords: table.commonWords,
    blocks: table.blocks.length,
    k: table.k,
    m: table.m,
    blockBits: table.stage === null ? blockEntropyBits(table) : 0,
    guess: tableBayesSuccess(table, prior),
    provenance: table.provenance,
  };
}

function factRows(found: ReturnType<typeof facts>): [string, string][] {
  const { pair } = found;
  return [
    ['table', `${found.name} ${found.digest}`],
    ['notion', found.notion],
    ['claims', found.claimed],
    [
      'found',
      `${found.worst ?? 'no finite epsilon'}${found.epsilon === null ? '' : ` = ${found.epsilon.toFixed(6)}`}, at "${pair.output}" from "${pair.likely ?? 'elsewhere'}" and "${pair.unlikely ?? 'elsewhere'}"`,
    ],
    ['claim', found.holds ? `holds in all ${found.inequalities} inequalities` : 'BROKEN'],
    [
      'words',
      `${found.words} in ${found.blocks} blocks of about ${found.k}; ${found.commonWords} count as common`,
    ],
    ['visible', found.blockBits === 0 ? 'no block' : `the block: ${found.blockBits.toFixed(2)} bits a word`],
    ['best guess', `right in ${(100 * found.guess).toFixed(1)} of 100 words, without context`],
    ['made of', found.provenance],
  ];
}

async function check(options: Options, output: Output): Promise<number> {
  const bytes = await tableBytesOf(options.required('table'));
  const table = decodeTable(bytes);
  const found = facts(table, bytes, certify(table));
  print(options, output, found, factRows(found));
  return found.holds ? exitCodes.ok : exitCodes.wrongResult;
}

async function show(options: Options, output: Output): Promise<number> {
  const word = options.text('word')?.toLowerCase();
  if (word === undefined) return await check(options, output);
  const table = decodeTable(await tableBytesOf(options.required('table')));
  const id = table.words.indexOf(word);
  const block = table.blocks.find(({ members }) => members.includes(id));
  if (block === undefined) {
    throw new SottoError('The table does not have this word.', {
      code: 'WORD_UNKNOWN',
      facts: { table: table.name },
      fix: 'Words that no table has get a substitute drawn without looking at them.',
    });
  }
  const k = block.members.length;
  const rows = expandBlock(table, block);
  const x = block.members.indexOf(id);
  const substitutes = Array.from(block.members, (member, y) => ({
    word: table.words[member]!,
    probability: rows[x * k + y]! / rowSum(rows, k, x),
  })).sort((a, b) => b.probability - a.probability);
  const note =
    table.stage === null
      ? []
      : [['note', 'of the own block, if it is drawn; all other blocks are possible too']];
  print(options, output, { table: table.name, word, substitutes }, [
    ...substitutes.map((entry): [string, string] => [
      `${(100 * entry.probability).toFixed(2)} %`,
      entry.word,
    ]),
    ...(note as [string, string][]),
  ]);
  return exitCodes.ok;
}

async function build(options: Options, output: Output): Promise<number> {
  const path = options.required('vectors');
  const file = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new SottoError('The word vectors cannot be read.', {
      code: 'FILE_UNREADABLE',
      facts: { path, reason: error.code ?? 'unknown' },
      fix: 'Check the path.',
      cause: error,
    });
  });
  if (file.length > MOST_VECTOR_BYTES) {
    throw new SottoError('The file of word vectors is too large.', {
      code: 'VECTORS_INVALID',
      facts: { sizeBytes: file.length, largest: MOST_VECTOR_BYTES },
      fix: 'Give its first lines: the most frequent words are enough.',
    });
  }
  const count = options.integer('count', 2, 1_000_000)!;
  const text = file.toString('utf8');
  const vectors = path.endsWith('.json') ? winkVectors(parse(text), count) : readTextVectors(text, count);
  const name = options.required('name');
  const whole = options.required('notion') === 'whole';
  const notion: Notion = whole ? 'ldp-whole-vocabulary' : 'ldp-within-block';
  output.err(`Dividing ${vectors.words.length} words into blocks.\n`);
  const table = buildStaircase(vectors, {
    name,
    notion,
    provenance: `${path.split(/[\\/]/).at(-1)}, ${vectors.words.length} words`,
    epsilon: options.required('epsilon'),
    k: options.integer('k', 2, 2048)!,
    m: options.integer('m', 1, 2048)!,
    commonShare: whole ? 0 : 0.1,
  });
  const bytes = encodeTable(table);
  const out = options.text('out') ?? `${name}.san.gz`;
  await writeFile(out, out.endsWith('.gz') ? gzipSync(bytes, { level: 9 }) : bytes);
  const found = facts(table, bytes, certify(table));
  print(options, output, { path: out, ...found }, [['written', out], ...factRows(found)]);
  return found.holds ? exitCodes.ok : exitCodes.wrongResult;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SottoError('The word vectors are not JSON.', {
      code: 'VECTORS_INVALID',
      fix: 'Give JSON with words and vectors, or text with one word a line.',
      cause: error,
    });
  }
}

export const command: Command = {
  name: 'sanitizer',
  description:
    'Tables of mode sanitized. list: those that come along. check: proves the claim of a table, or shows the pair that breaks it.\n' +
    'show: what a table is, or what becomes of one word (--word). build: a table of your own from public word vectors.',
  example: 'sotto sanitizer show --table neutral --word doctor',
  positionals: ['list|show|check|build'],
  options: {
    ...tableOption,
    word: { value: 'WORD', help: 'show: the substitutes of this word.' },
    vectors: {
      value: 'FILE',
      help: 'build: word vectors, most frequent word first; text (GloVe, fastText) or JSON of wink.',
    },
    name: { value: 'NAME', default: 'own', help: 'build: name of the table.' },
    out: { value: 'FILE', help: 'build: file to write; NAME.san.gz when absent.' },
    epsilon: { value: 'E', default: '1', help: 'build: epsilon of a word.' },
    notion: {
      choices: ['block', 'whole'],
      value: 'NOTION',
      default: 'block',
      help: 'build: promise within a public block, or over the whole vocabulary.',
    },
    count: { value: 'N', default: '20000', help: 'build: words of the vocabulary.' },
    k: { value: 'N', default: '20', help: 'build: words of a block.' },
    m: { value: 'N', default: '5', help: 'build: words of a block that are likelier.' },
  },
  async run(options, output) {
    const [action = 'list', ...more] = options.positionals;
    if (!actions.includes(action) || more.length > 0) {
      throw new SottoError('The sanitizer command takes list, show, check or build.', {
        code: 'USAGE_ACTION',
        fix: 'See `sotto sanitizer --help`.',
      });
    }
    if (action === 'list') return await list(options, output);
    if (action === 'show') return await show(options, output);
    return action === 'check' ? await check(options, output) : await build(options, output);
  },
};
