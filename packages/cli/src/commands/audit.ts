import { SottoError } from '@sotto/base';
import {
  auditRivals,
  auditTable,
  blocksWithVectors,
  decodeTable,
  type Rate,
  type RivalAudit,
  readBlockVectors,
  SystemSource,
  type TableAudit,
  tableDigest,
} from '@sotto/privacy';
import type { Command } from '../command.js';
import { contextOptions, type ServedModelAudit, servedModelAudit } from '../context-attacks.js';
import { exitCodes } from '../exit-codes.js';
import { tableBytesOf, tableOption } from '../sanitizer-options.js';

const percent = (rate: number) => `${(100 * rate).toFixed(1)} %`;
/** JSON has no infinity. */
const finite = (value: number) => (Number.isFinite(value) ? value : null);

function tableRows(found: TableAudit, draws: number): [string, string][] {
  const { certificate, drawn, guess, kept, replay, inversion, attributes } = found;
  return [
    [
      'certificate',
      `epsilon ${certificate.epsilon.toFixed(4)} in ${certificate.inequalities} inequalities: ${certificate.holds ? 'holds' : 'BROKEN'}`,
    ],
    [
      'draws',
      `${draws}: epsilon is at least ${drawn.epsilonAtLeast.toFixed(4)} (95 %): ${found.holds ? 'agrees' : 'DISAGREES'}`,
    ],
    [
      'guess',
      `right in ${percent(guess.zipf)} of words by their frequency, ${percent(guess.uniform)} with all alike`,
    ],
    [
      'kept',
      `${percent(kept.rate)} of words stay${kept.ceiling === null ? '' : `; epsilon allows ${percent(kept.ceiling)}`}`,
    ],
    [
      'block',
      found.blockBits === 0
        ? 'not visible'
        : `${found.blockBits.toFixed(2)} bits a word visible, at any epsilon`,
    ],
    ...(replay === null
      ? []
      : replay.repetitions.map((count, i): [string, string] => [
          i === 0 ? 'replay' : '',
          `${count} times: ${percent(replay.fresh[i]!.rate)} without a memo, ${percent(replay.memo[i]!.rate)} with it`,
        ])),
    ...(inversion === null
      ? []
      : ([
          [
            'nearest',
            inversion.guesses
              .map(
                (most, i) =>
                  `${percent(inversion.success[i]!)} of words among the ${most} nearest of the block`,
              )
              .join(', '),
          ],
        ] satisfies [string, string][])),
    ...attributes.map((leak): [string, string] => [
      leak.attribute,
      `guessed in ${percent(leak.fromOutput)} of its words, ${percent(leak.fromBlock)} from the block alone, ${percent(leak.blind)} blindly`,
    ]),
    [
      'length',
      'the number of words, and the time to sanitize them, is visible; the time of a word does not depend on it',
    ],
  ];
}

const withInterval = ({ rate, low, high }: Rate) => `${percent(rate)} (${percent(low)} to ${percent(high)})`;

function contextRows({ model, ...found }: ServedModelAudit): [string, string][] {
  return [
    ['kept', `${withInterval(found.kept)} of ${found.words} words stayed`],
    ['alone', `${withInterval(found.bayes)}: each word by itself, by its frequency`],
    [
      'bigrams',
      `${withInterval(found.hmmMarginal)}: hidden Markov model, word for word; ${withInterval(found.hmmPath)} as a sequence`,
    ],
    [
      'mask',
      `${withInterval(model.maskToken)}: the model goes on, table unknown; ${withInterval(model.maskTokenInBlock)} among likely words`,
    ],
    ['in context', `${withInterval(model.bayesContext)}: table and model, one word at a time`],
    ['reconstruct', `${withInterval(model.reconstruction)}: table and model, the whole text`],
    [
      'wire',
      `${withInterval(found.embeddingWire)} of tokens found when their embeddings are sent instead of them`,
    ],
  ];
}

function rivalRow({ mechanism, nominal, found, drawnAtLeast, pair }: RivalAudit): string {
  const keeps = Number.isFinite(found)
    ? `${found.toFixed(2)} (${(found / nominal).toFixed(2)} times)`
    : 'none finite';
  const drawn = drawnAtLeast === null ? '' : `; by draws at least ${drawnAtLeast.toFixed(2)}`;
  const [output, likely, unlikely] = pair;
  const worst =
    found > nominal * (1 + 1e-9)
      ? `    worst: "${output}" tells "${likely}" from "${unlikely}"${Number.isFinite(found) ? `, ${Math.exp(found).toFixed(1)} times likelier` : ', which never becomes it'}\n`
      : '';
  return `  ${mechanism}\n    states ${nominal}, keeps ${keeps}${drawn}\n${worst}`;
}

export const command: Command = {
  name: 'audit',
  description:
    'Attacks a sanitizer table: proves its claim, draws from it and computes from the draws alone what epsilon must be at least,\n' +
    'guesses words, replays texts, guesses properties. Reads whole texts with the model that would be served, or with --attacker. Then\n' +
    'judges published methods on some of the same blocks.',
  example: 'sotto audit --table neutral-3',
  options: {
    ...tableOption,
    draws: { value: 'N', default: '1000000', help: 'Draws for each lower bound on epsilon.' },
    'no-rivals': { help: 'Leave published methods out.' },
    ...contextOptions,
  },
  async run(options, output) {
    if (options.flag('no-context') && options.text('attacker') !== undefined) {
      throw new SottoError('--attacker belongs to the attacks that --no-context leaves out.', {
        code: 'USAGE_TWICE',
        fix: 'Leave one of the two out.',
      });
    }
    const draws = options.integer('draws', 1000, 1_000_000_000)!;
    const bytes = await tableBytesOf(options.required('table'));
    const table = decodeTable(bytes);
    const source = new SystemSource();
    const vectors = await readBlockVectors();
    const found = auditTable(table, { source, draws, vectors });
    const context = options.flag('no-context')
      ? null
      : await servedModelAudit(table, options, output, source);
    const blocks = table.stage === null ? blocksWithVectors(table, vectors) : [];
    const rivals = options.flag('no-rivals')
      ? []
      : [1, 3].flatMap((epsilon) => auditRivals(vectors, blocks, { epsilon, draws, source }));
    if (options.flag('json')) {
      const { holds, epsilon, inequalities } = found.certificate;
      output.out(
        `${JSON.stringify({
          table: table.name,
          digest: tableDigest(bytes),
          notion: table.notion,
          ...found,
          certificate: { holds, epsilon: finite(epsilon), inequalities },
          context,
          rivals: rivals.map((rival) => ({ ...rival, found: finite(rival.found) })),
        })}\n`,
      );
    } else {
      output.out(`${table.name}, ${table.notion}\n`);
      for (const [name, value] of tableRows(found, found.drawn.draws))
        output.out(`  ${name.padEnd(13)}${value}\n`);
      if (context !== null) {
        const { attacker, source: from, texts, learntFrom } = context;
        output.out(
          `\nWords found in ${texts} texts (${from}) by ${attacker}; bigrams from ${learntFrom} others\n`,
        );
        for (const [name, value] of contextRows(context)) output.out(`  ${name.padEnd(13)}${value}\n`);
      }
      if (rivals.length > 0) output.out(`\nPublished methods on ${blocks.length} of these blocks\n`);
      for (const rival of rivals) output.out(rivalRow(rival));
    }
    return found.holds ? exitCodes.ok : exitCodes.wrongResult;
  },
};
